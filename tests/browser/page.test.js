// The file and its answer: small enough, one style, one script, nothing newer than the phones of 2019, right by Stripe's
// own declarations, complete in four languages, and sent with the headers that hold it to that.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { parse } from 'acorn';

import { scene } from './payer.js';
import { Order, expire, stack } from './stack.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = readFileSync(join(HERE, '../../functions/status-query/src/pay/page.html'), 'utf8');
const SCRIPT = inside('script');
const TSC = join(HERE, 'node_modules/.bin/tsc');

/** @param {string} tag */
function inside(tag) {
  const found = [...PAGE.matchAll(new RegExp(`<${tag}[^>]*>(.*?)</${tag}>`, 'gs'))];
  assert.equal(found.length, 1, `there is one ${tag}`);
  assert(found[0][0].startsWith(`<${tag}>`), `${tag} has no attributes`);
  return found[0][1];
}

/** The project's own types and what is checked by them. @param {string} project */
function compile(project) {
  try {
    execFileSync(TSC, ['--project', project], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(/** @type {{ stdout: string }} */ (error).stdout);
  }
}

test('the page is under 18 KB, a third of it text in four languages, and has nothing that its policy would block', () => {
  assert(Buffer.byteLength(PAGE) < 18432, `${Buffer.byteLength(PAGE)} bytes`);
  assert(PAGE.includes('\n<html lang="en">\n'));
  inside('style');
  for (const [name] of PAGE.replace(SCRIPT, '').matchAll(/\s(on\w+|style|src|href)=/g)) {
    assert.equal(name, ' href=', 'the empty icon alone is linked');
  }
  assert.equal(PAGE.match(/ href="([^"]*)"/)?.[1], 'data:,');
});

test('the script is one that a phone of 2019 understands', () => {
  parse(SCRIPT, { ecmaVersion: 2018, sourceType: 'script' });
});

test('the script uses Stripe.js as its declarations say, and a library no newer than 2018', () => {
  const folder = mkdtempSync(join(HERE, 'node_modules/.page-'));
  try {
    const types = ['Stripe', 'StripeElements', 'StripePaymentElement', 'Appearance'];
    writeFileSync(join(folder, 'page.js'), SCRIPT);
    writeFileSync(join(folder, 'types.d.ts'), `import type * as js from '@stripe/stripe-js';
      declare global { ${types.map(name => `type ${name} = js.${name};`).join(' ')} }`);
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
      compilerOptions: {
        allowJs: true, checkJs: true, noEmit: true, strict: false, types: [], target: 'ES2018', lib: ['ES2018', 'DOM'],
        module: 'esnext', moduleResolution: 'bundler',
      },
      files: ['page.js', 'types.d.ts'],
    }));
    compile(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the stand-in of Stripe.js, and these tests, are right by the same declarations', () => compile(HERE));

test('the release of Stripe.js is the one of the API version that the functions pin', () => {
  const adapter = readFileSync(join(HERE, '../../shared/src/adapters/stripe/client.rs'), 'utf8');
  const release = /"\d{4}-\d\d-\d\d\.(\w+)"/.exec(adapter)?.[1];
  assert(SCRIPT.includes(`'https://js.stripe.com/${release}/stripe.js'`), `Stripe.js of ${release}`);
  const loader = readFileSync(join(HERE, 'node_modules/@stripe/stripe-js/dist/pure.js'), 'utf8');
  assert.equal(/RELEASE_TRAIN = '(\w+)'/.exec(loader)?.[1], release, 'what Stripe’s own loader of these declarations loads');
});

test('every text is there in four languages', () => {
  const table = /`(to\|.*?)`/s.exec(SCRIPT)?.[1].split('\n').map(row => row.split('|')) || [];
  const names = table.map(([name]) => name);
  assert(table.length > 20);
  assert.equal(new Set(names).size, names.length);
  for (const [name, ...texts] of table) {
    assert.equal(texts.length, 4, name);
    assert(texts.every(text => text && text === text.trim()), name);
    assert.equal(new Set(texts.map(text => (text.match(/{}/g) || []).length)).size, 1, `${name} has the same blanks everywhere`);
  }
  // What the script asks the table for.
  const kinds = /const KINDS = {(.*?)}/s.exec(SCRIPT)?.[1].matchAll(/(\w+):/g) || [];
  const views = [...kinds].map(([, name]) => name).filter(name => name !== 'open');
  for (const name of [...views, 'unknown', 'expired', 'canceled', ...[...SCRIPT.matchAll(/TEXTS\.(\w+)/g)].map(([, name]) => name)]) {
    assert(names.includes(name), name);
  }
});

test('the page and its session come with the headers that guard them', async () => {
  const order = await Order.ask();
  const reply = await fetch(order.link, { headers: { 'Accept-Language': 'fr-CA, en;q=0.5' } });
  const body = await reply.text();
  assert.equal(reply.status, 200);
  assert.equal(body, PAGE.replace('<html lang="en">', '<html lang="fr">'));
  /** @param {string} tag */
  const digest = tag => createHash('sha256').update(inside(tag)).digest('base64');
  const wanted = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': [
      "default-src 'none'",
      `script-src 'sha256-${digest('script')}' https://js.stripe.com https://*.js.stripe.com`,
      `style-src 'sha256-${digest('style')}'`,
      "style-src-attr 'unsafe-inline'",
      'frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com',
      "connect-src 'self' https://api.stripe.com",
      'img-src https://*.stripe.com data:',
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ].join('; '),
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin-allow-popups',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-robots-tag': 'noindex, nofollow',
  };
  for (const [name, value] of Object.entries(wanted)) assert.equal(reply.headers.get(name), value, name);
  assert.match(reply.headers.get('strict-transport-security') || '', /^max-age=\d{8}/);

  const [address, token] = order.link.split('#');
  const session = await fetch(`${address}/session`, { method: 'POST', body: JSON.stringify({ token }) });
  assert.equal(session.status, 200);
  for (const [name, value] of Object.entries({
    'content-type': 'application/json', 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff',
  })) assert.equal(session.headers.get(name), value, name);
  const { client_secret: secret, publishable_key: key, ...rest } = await session.json();
  assert(secret.startsWith(`${order.intent}_secret_`));
  assert.equal(key, stack.publishableKey);
  assert.equal(rest.state, 'open');
  assert.deepEqual([rest.order_id, rest.amount, rest.amount_minor, rest.currency], [order.order, '50.00', 5000, 'usd']);
  assert(!body.includes(secret) && !body.includes(key), 'the page itself has no secret');
});

test('every link leads to the same page, and only a POST opens one', async () => {
  const { link } = await Order.ask();
  const [address] = link.split('#');
  const page = async () => (await fetch(address, { headers: { 'Accept-Language': 'de' } })).text();
  const open = await page();
  await expire(link);
  assert.equal(await page(), open);
  assert(open.includes('<html lang="de">'));
  const got = await fetch(`${address}/session`);
  assert(got.status >= 400, `a GET of the session is ${got.status}`);
});

scene('nothing but Stripe’s becomes a script of the page', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  payer.expected = [/TrustedScriptURL|TrustedScript|trusted-types|Trusted Type/i];
  const refused = await payer.page.evaluate(addresses => addresses.map(address => {
    try {
      document.createElement('script').src = address;
      return '';
    } catch (error) {
      return /** @type {Error} */ (error).name;
    }
  }), ['https://js.stripe.com/dahlia/more.js', 'https://b.js.stripe.com/x.js', 'https://js.stripe.com.example/x.js', 'data:text/javascript,1', '/x.js']);
  assert.deepEqual(refused, ['', '', 'TypeError', 'TypeError', 'TypeError']);
});

// A payer with a browser of their own. When they leave, nothing must have gone where it does not belong.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';

import { chromium } from 'playwright-core';

import { stack } from './stack.js';
import { StripeEdge } from './stripe-edge.js';

/** @typedef {import('playwright-core').BrowserContextOptions} Options */

/** Stripe's test cards; browser.py searches for them. */
export const CARDS = { good: '4242424242424242', declined: '4000000000000002', secure: '4000000000003220' };

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Milliseconds to wait for what must come. */
const PATIENCE = 15_000;
const HOSTS = [new URL(stack.pages).host, 'js.stripe.com', 'api.stripe.com'];

const browser = await chromium.launch({
  executablePath: stack.chromium,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server',
  ],
  // A page may come back as it was left.
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
});
after(() => browser.close());

export class Payer {
  /** @type {string[]} */ requests = [];
  /** @type {string[]} */ complaints = [];
  /** Complaints of the browser's console that the test brings about. @type {RegExp[]} */ expected = [];
  /** Whether this payer's bank is asked. */ atBank = false;
  /** How often Stripe has sent this payer back. */ returns = 0;

  /** @param {import('playwright-core').Page} page @param {StripeEdge} edge */
  constructor(page, edge) {
    this.page = page;
    this.edge = edge;
    this.card = page.frameLocator('#card iframe');
    page.on('request', request => this.requests.push(request.url()));
    page.on('pageerror', error => this.complaints.push(String(error)));
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(`${message.text()} (${message.location().url})`);
    });
  }

  /** @param {string} link */
  async opens(link) {
    this.link = link;
    return this.page.goto(link);
  }

  /** Waits for a view of the page; it must be one that everybody can use.
   * @param {string} view */
  async sees(view) {
    await this.page.locator(`main[data-view=${view}]`).waitFor();
    if (view === 'open') await this.page.locator('#pay:enabled').waitFor();
    assert.deepEqual(await this.barriers(), [], `barriers in the view ${view}`);
  }

  /** What axe finds that shuts somebody out. */
  async barriers() {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => /** @type {any} */ (window).axe.run(document, { iframes: false }));
    return violations
      .filter(/** @param {any} found */ found => ['serious', 'critical'].includes(found.impact))
      .map(/** @param {any} found */ found => `${found.id}: ${found.nodes.map(/** @param {any} node */ node => node.html)}`);
  }

  /** @param {string} number */
  async types(number) {
    await this.card.locator('[name=number]').fill(number);
    await this.card.locator('[name=expiry]').fill('12 / 34');
    await this.card.locator('[name=cvc]').fill('123');
  }

  /** @param {string} number */
  async pays(number) {
    await this.types(number);
    await this.page.locator('#pay').click();
  }

  /** @param {string} id */
  text(id) {
    return this.page.locator(`#${id}`).innerText();
  }

  /** The id of what has the focus. */
  focus() {
    return this.page.evaluate(() => document.activeElement?.id);
  }

  /** Comes back to a page that the browser has kept as it was left. Whether it keeps one that must not be stored is the
   * browser's own affair, so this is only what it does then. */
  async comesBack() {
    await this.page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  }

  /** What has arrived at the page has had its effect. */
  async settled() {
    await this.page.evaluate(() => new Promise(resolve => { setTimeout(resolve); }));
  }

  /** How often the page has asked where the payment stands. */
  get sessions() {
    return this.requests.filter(url => url.endsWith('/session')).length;
  }

  /** Nothing may be left behind in a place that others see, and nobody asked who has no business with it. */
  async leaves() {
    const hosts = this.atBank ? [...HOSTS, 'hooks.stripe.com'] : HOSTS;
    assert.deepEqual(this.requests.filter(url => !url.startsWith('data:') && !hosts.includes(new URL(url).host)), [], 'asked others');
    assert.equal(this.requests.filter(url => url.includes('_secret_')).length, this.returns, 'client secrets in requested URLs');
    assert.equal(this.page.url(), this.link, 'the address bar');
    const token = /#(\w{22})$/.exec(this.link || '')?.[1];
    assert(!token || !this.requests.some(url => url.split('#')[0].includes(token)), 'the link’s token in a requested URL');
    const kept = await this.page.evaluate(() => [
      document.documentElement.outerHTML, document.cookie, JSON.stringify({ ...localStorage }), JSON.stringify(history.state),
    ].join() + (() => { try { return JSON.stringify({ ...sessionStorage }); } catch { return ''; } })());
    assert(!/_secret_|\d{13}/.test(kept), 'a secret or a card is in the page or in storage');
    // The browser itself reports answers that are no success; these are part of the contract.
    const ordinary = [
      /^Failed to load resource: the server responded with a status of (404|410|503) .*\/pay\//,
      /^Failed to load resource: the server responded with a status of (400|402) .*\/\/api\.stripe\.com\//,
      ...this.expected,
    ];
    assert.deepEqual(this.complaints.filter(text => !ordinary.some(known => known.test(text))), [], 'complaints of the browser');
  }
}

/** A test with a payer, whose phone is as the options say.
 * @param {string} name @param {(payer: Payer) => Promise<void>} visit @param {Options} options */
export function scene(name, visit, options = {}) {
  test(name, async t => {
    const context = await browser.newContext({ locale: 'en-US', viewport: { width: 390, height: 844 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    try {
      const edge = new StripeEdge();
      await edge.serve(context);
      const payer = new Payer(await context.newPage(), edge);
      try {
        await visit(payer);
        await payer.leaves();
      } catch (error) {
        t.diagnostic(`the page: ${await payer.page.locator('body').innerText().catch(() => 'gone')}`);
        t.diagnostic(`its complaints: ${payer.complaints.join('\n') || 'none'}`);
        throw error;
      }
    } finally {
      await context.close();
    }
  });
}

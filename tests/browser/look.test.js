// The page in four languages, on a narrow phone, in the dark, and for those who use no mouse.

import assert from 'node:assert/strict';

import { CARDS, scene } from './payer.js';
import { Order } from './stack.js';

/** @type {[locale: string, language: string, currency: string, amount: string, shown: string, button: string, promise: RegExp, field: string][]} */
const LANGUAGES = [
  ['en-US', 'en', 'usd', '1234.50', '$1,234.50', 'Pay $1,234.50', /the agent never sees them/, 'Card number'],
  ['en-GB', 'en', 'gbp', '1234.50', '£1,234.50', 'Pay £1,234.50', /the agent never sees them/, 'Card number'],
  ['es-ES', 'es', 'eur', '9876.50', '9876,50 €', 'Pagar 9876,50 €', /el agente nunca los ve/, 'Número de tarjeta'],
  ['es-MX', 'es', 'usd', '1234.50', 'USD 1,234.50', 'Pagar USD 1,234.50', /el agente nunca los ve/, 'Número de tarjeta'],
  ['fr-FR', 'fr', 'eur', '1234.50', '1 234,50 €', 'Payer 1 234,50 €', /le conseiller ne les voit jamais/, 'Numéro de carte'],
  ['de-DE', 'de', 'eur', '1234.50', '1.234,50 €', '1.234,50 € bezahlen', /am Telefon sieht sie niemand/, 'Kartennummer'],
  ['de-DE', 'de', 'jpy', '12345', '12.345 ¥', '12.345 ¥ bezahlen', /am Telefon sieht sie niemand/, 'Kartennummer'],
  ['pt-BR', 'en', 'usd', '1234.50', '$1,234.50', 'Pay $1,234.50', /the agent never sees them/, 'Card number'],
];

/** Spaces that must not break are spaces to a reader. @param {string} text */
const plain = text => text.replace(/[\u00a0\u202f]/g, ' ');

for (const [locale, language, currency, amount, shown, button, promise, field] of LANGUAGES) {
  scene(`${locale}: ${shown}`, async payer => {
    const order = await Order.ask({ currency, amount });
    await payer.opens(order.link);
    await payer.sees('open');
    assert.equal(await payer.page.locator('html').getAttribute('lang'), language);
    assert.equal(plain(await payer.text('amount')), shown);
    assert.equal(plain(await payer.text('pay')), button);
    assert.match(await payer.text('promise'), promise);
    assert.equal(await payer.card.locator('label span').first().innerText(), field, 'Stripe’s fields are in the same language');
    assert.equal(await payer.page.title(), await payer.text('title'));
  }, { locale });
}

for (const languages of [['en-US@posix'], ['en_US'], [null], undefined]) {
  scene(`the browser names its languages as ${JSON.stringify(languages)}: the amount is there all the same`, async payer => {
    await payer.page.addInitScript(named => Object.defineProperty(navigator, 'languages', { value: named }), languages);
    const order = await Order.ask();
    await payer.opens(order.link);
    await payer.sees('open');
    assert.equal(await payer.text('amount'), '$50.00');
    await payer.pays(CARDS.good);
    await payer.sees('success');
  });
}

scene('320 pixels wide there is nothing to scroll sideways, whatever is shown', async payer => {
  const order = await Order.ask({ amount: '9999.99' });
  await payer.page.route('**/session', async route => {
    const reply = await route.fetch();
    const merchant = 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbau GmbH', description = `Rechnung ${'abcdefghij'.repeat(5)}`;
    await route.fulfill({ response: reply, json: { ...(await reply.json()), merchant, description } });
  });
  const fits = () => payer.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  await payer.opens(order.link);
  await payer.sees('open');
  assert(await fits(), 'open');
  await payer.pays(CARDS.declined);
  await payer.page.locator('#alert:not(:empty)').waitFor();
  assert(await fits(), 'declined');
  // Every text of every view, in the language of the longest words.
  for (const view of ['success', 'processing', 'paid', 'expired', 'canceled', 'unknown', 'unavailable', 'unsure', 'blocked', 'elsewhere']) {
    await payer.page.evaluate(name => /** @type {any} */ (window).show(name), view);
    await payer.sees(view);
    assert(await fits(), view);
  }
}, { locale: 'de-DE', viewport: { width: 320, height: 568 } });

scene('in the dark the page and Stripe’s fields are dark, and follow when the phone changes', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  const shade = () => payer.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await shade(), 'rgb(13, 17, 23)');
  await payer.card.locator('body[data-theme=night]').waitFor();
  await payer.pays(CARDS.declined);
  await payer.page.locator('#alert:not(:empty)').waitFor();
  await payer.sees('open');
  await payer.page.emulateMedia({ colorScheme: 'light' });
  await payer.card.locator('body[data-theme=stripe]').waitFor();
  assert.equal(await shade(), 'rgb(243, 245, 248)');
  await payer.sees('open');
  await payer.page.emulateMedia({ colorScheme: 'dark' });
  await payer.pays(CARDS.good);
  await payer.sees('success');
}, { colorScheme: 'dark' });

scene('nothing turns for who wants no motion', async payer => {
  const order = await Order.ask();
  await payer.page.route('**/session', () => {});
  await payer.opens(order.link);
  await payer.sees('loading');
  const moving = () => payer.page.evaluate(() => document.getAnimations().length);
  assert.equal(await moving(), 0);
  await payer.page.emulateMedia({ reducedMotion: 'no-preference' });
  assert.equal(await moving(), 1);
}, { reducedMotion: 'reduce' });

scene('a keyboard is enough', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  const { keyboard } = payer.page;
  assert.equal(await payer.focus(), 'title', 'where reading begins');
  for (const text of [CARDS.declined, '1234', '123']) {
    await keyboard.press('Tab');
    await keyboard.type(text);
  }
  await keyboard.press('Tab');
  assert.equal(await payer.focus(), 'pay');
  const outline = await payer.page.locator('#pay').evaluate(button => getComputedStyle(button).outlineStyle);
  assert.equal(outline, 'solid', 'the focus can be seen');
  await keyboard.press('Enter');
  await payer.page.locator('#alert:not(:empty)').waitFor();
  assert.equal(await payer.focus(), 'alert', 'from there the next Tab leads into the card again');
  await keyboard.press('Tab');
  await keyboard.press('Control+A');
  await keyboard.type(CARDS.good);
  await keyboard.press('Enter');
  await payer.sees('success');
  assert.equal(await payer.focus(), 'title');
});

scene('a screen reader is told what the page is, what it asks and what becomes of it', async payer => {
  const order = await Order.ask({ description: 'Invoice 4711' });
  await payer.opens(order.link);
  await payer.sees('open');
  assert.equal(await payer.page.getByRole('heading', { level: 1 }).count(), 1);
  assert.match(await payer.page.getByRole('heading', { level: 1 }).innerText(), /^Payment/);
  assert.equal(await payer.page.getByRole('button').count(), 1);
  await payer.page.getByRole('main').getByRole('button', { name: 'Pay $50.00' }).waitFor();
  /** @type {() => void} */ let release = () => {};
  const held = /** @type {Promise<void>} */ (new Promise(resolve => { release = resolve; }));
  payer.edge.onConfirm = async answer => { await held; await answer(); };
  await payer.pays(CARDS.good);
  await payer.page.getByRole('status').filter({ hasText: 'Paying…' }).waitFor();
  release();
  await payer.sees('success');
  assert.equal(await payer.page.getByRole('heading', { level: 1 }).innerText(), 'Payment approved');
  assert.equal(await payer.page.locator('#title').getAttribute('aria-describedby'), 'text');
  assert.equal(await payer.page.getByRole('button').count(), 0);
});

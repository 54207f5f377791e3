// Takes the pictures of the page that the docs show.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { CARDS, scene } from './payer.js';
import { Order, stack } from './stack.js';

mkdirSync(stack.screenshots, { recursive: true });

/** @param {import('./payer.js').Payer} payer @param {string} name */
async function picture(payer, name) {
  // The sheet and what is around it, not the empty rest of the screen.
  const height = await payer.page.locator('main').evaluate(main => Math.ceil(main.getBoundingClientRect().bottom) + 16);
  const { width } = payer.page.viewportSize() || { width: 390 };
  await payer.page.screenshot({ path: join(stack.screenshots, `${name}.png`), clip: { x: 0, y: 0, width, height } });
}

scene('a phone', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await picture(payer, 'open');
  await payer.pays(CARDS.declined);
  await payer.page.locator('#alert:not(:empty)').waitFor();
  await picture(payer, 'declined');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await picture(payer, 'success');
}, { deviceScaleFactor: 1.5 });

scene('in Spanish, in the dark', async payer => {
  const order = await Order.ask({ amount: '1249.90', currency: 'eur' });
  await payer.opens(order.link);
  await payer.sees('open');
  await picture(payer, 'spanish-dark');
}, { deviceScaleFactor: 1.5, locale: 'es-ES', colorScheme: 'dark' });

scene('320 pixels wide', async payer => {
  const order = await Order.ask({ amount: '9999.99', currency: 'gbp' });
  await payer.opens(order.link);
  await payer.sees('open');
  await picture(payer, 'narrow');
}, { deviceScaleFactor: 1.5, viewport: { width: 320, height: 800 } });

// The payer pays, in every way that ends well, and in those where a second charge would be near.

import assert from 'node:assert/strict';

import { CARDS, Payer, scene } from './payer.js';
import { expire, Order, stack } from './stack.js';

/** Stripe has the money, once.
 * @param {Order} order */
async function paidOnce(order) {
  const intent = await order.atStripe();
  assert.equal(intent.status, 'succeeded');
  assert.equal(intent.amount_received, intent.amount);
  assert.equal(intent.charges.data.filter(/** @param {any} charge */ charge => charge.status === 'succeeded').length, 1);
}

/** The same order is paid through another link, in another tab.
 * @param {import('./payer.js').Payer} payer @param {Order} order */
async function paysElsewhere(payer, order) {
  const page = await payer.page.context().newPage();
  const other = new Payer(page, payer.edge);
  await other.opens(await order.anotherLink());
  await other.sees('open');
  await other.pays(CARDS.good);
  await other.sees('success');
  await other.leaves();
  await page.close();
}

/** A promise, and what fulfills it. */
function signal() {
  /** @type {() => void} */ let give = () => {};
  const given = /** @type {Promise<void>} */ (new Promise(resolve => { give = resolve; }));
  return { give, given };
}

scene('a payer pays, and Genesys hears of it', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  assert.equal(await payer.text('amount'), '$50.00');
  assert.equal(await payer.text('pay'), 'Pay $50.00');
  assert.equal(await payer.text('reference'), `Reference ${order.order}`);
  await payer.pays(CARDS.good);
  await payer.sees('success');
  assert.equal(await payer.text('title'), 'Payment approved');
  assert.equal(await payer.focus(), 'title');
  await paidOnce(order);
  await order.delivered('payment_intent.succeeded');
  assert.equal((await order.told()).payment_status, 'CONFIRMED');

  // The link has done its work. Who paid in this tab is told so, anybody else that it is paid.
  await payer.page.reload();
  await payer.sees('success');
  const other = await payer.page.context().newPage();
  await other.goto(order.link);
  await other.locator('main[data-view=paid]').waitFor();
});

scene('a card is declined in Stripe’s words, and another one pays', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.declined);
  await payer.page.getByRole('alert').filter({ hasText: 'Your card was declined.' }).waitFor();
  await payer.sees('open');
  assert.equal(await payer.focus(), 'alert');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  assert.equal(payer.edge.confirms, 2);
  await paidOnce(order);
});

scene('an incomplete card goes nowhere', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.page.locator('#pay').click();
  await payer.page.getByRole('alert').filter({ hasText: 'Your card number is incomplete.' }).waitFor();
  await payer.sees('open');
  assert.equal(payer.edge.confirms, 0);
});

for (const [answer, view] of [['Complete', 'success'], ['Fail', 'open']]) {
  scene(`3-D Secure in a frame: ${answer}`, async payer => {
    payer.atBank = true;
    const order = await Order.ask();
    await payer.opens(order.link);
    await payer.sees('open');
    await payer.pays(CARDS.secure);
    await payer.page.frameLocator('iframe[title="3-D Secure"]').getByRole('button', { name: answer }).click();
    if (view === 'open') {
      await payer.page.getByRole('alert').filter({ hasText: 'We are unable to authenticate your payment method.' }).waitFor();
      await payer.sees('open');
      await payer.pays(CARDS.good);
    }
    await payer.sees('success');
    await paidOnce(order);
  });

  scene(`3-D Secure by redirect and return: ${answer}`, async payer => {
    payer.atBank = true;
    payer.edge.redirects = true;
    const order = await Order.ask();
    await payer.opens(order.link);
    await payer.sees('open');
    await payer.pays(CARDS.secure);
    await payer.page.waitForURL('https://hooks.stripe.com/**');
    await payer.page.getByRole('button', { name: answer }).click();
    payer.returns = 1;
    await payer.page.waitForURL(order.link);
    if (view === 'open') {
      await payer.page.getByRole('alert').filter({ hasText: 'The payment did not go through.' }).waitFor();
      await payer.sees('open');
      await payer.pays(CARDS.good);
    }
    await payer.sees('success');
    await paidOnce(order);
  });
}

scene('what the address says of the payment is not believed', async payer => {
  const order = await Order.ask();
  payer.link = order.link;
  await payer.page.goto(order.link.replace('#', `?payment_intent=${order.intent}&redirect_status=succeeded#`));
  await payer.sees('open');
  assert.equal(await payer.page.locator('#alert').innerText(), '', 'nothing was tried here, so nothing has failed');
  assert.equal(payer.page.url(), order.link);
  assert.equal((await order.atStripe()).status, 'requires_payment_method');
});

scene('the bank sends the payer into another browser: back to the link, where nothing is charged twice', async payer => {
  payer.atBank = true;
  payer.edge.redirects = true;
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.secure);
  await payer.page.waitForURL('https://hooks.stripe.com/**');
  const address = `${stack.pages}/pay`;
  assert.equal(payer.edge.returnUrl(order.intent), address, 'Stripe gets no token to send the payer back with');
  // Another tab's storage is empty, as another browser's is.
  const other = new Payer(await payer.page.context().newPage(), payer.edge);
  await other.opens(`${address}?payment_intent=${order.intent}&payment_intent_client_secret=${order.intent}_secret_x&redirect_status=succeeded`);
  other.link = address;
  other.returns = 1;
  await other.sees('elsewhere');
  assert.equal(await other.text('title'), 'Please go back to your link');
  assert.match(await other.text('text'), /Open the link in your message again/);
  assert.equal(other.sessions, 0);
  assert(!(await other.page.locator('#form').isVisible()), 'nothing to pay with is offered');
  await other.leaves();

  await payer.page.getByRole('button', { name: 'Complete' }).click();
  payer.returns = 1;
  await payer.page.waitForURL(order.link);
  await payer.sees('success');
  await other.opens(order.link);
  await other.sees('paid');
  assert.equal(payer.edge.confirms, 1);
  await paidOnce(order);
});

scene('where the browser keeps nothing, the page pays, and sends who comes back from the bank to the link', async payer => {
  payer.atBank = true;
  payer.edge.redirects = true;
  await payer.page.addInitScript(() => {
    Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('denied', 'SecurityError'); } });
  });
  const [first, order] = [await Order.ask(), await Order.ask()];
  await payer.opens(first.link);
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await payer.page.goto('about:blank');
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.secure);
  await payer.page.getByRole('button', { name: 'Complete' }).click();
  payer.returns = 1;
  await payer.sees('elsewhere');
  await payer.page.goto(order.link);
  await payer.sees('paid');
  assert.equal(payer.edge.confirms, 2);
  await paidOnce(order);
});

scene('what this tab paid by one link says nothing of the next', async payer => {
  const [first, second] = [await Order.ask(), await Order.ask()];
  await payer.opens(first.link);
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await paysElsewhere(payer, second);
  await payer.page.goto('about:blank');
  await payer.opens(second.link);
  await payer.sees('paid');
  assert.equal(await payer.text('title'), 'Already paid', 'not by this payer');
});

scene('however often the button is pressed, one confirm goes out', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.types(CARDS.good);
  const release = signal();
  payer.edge.onConfirm = async answer => { await release.given; await answer(); };
  await payer.page.locator('#pay').dblclick({ force: true, noWaitAfter: true });
  await payer.page.evaluate(() => {
    const form = /** @type {HTMLFormElement} */ (document.getElementById('form'));
    document.getElementById('pay')?.click();
    form.requestSubmit();
  });
  await payer.card.locator('[name=cvc]').press('Enter');
  await payer.sees('paying');
  assert(await payer.page.locator('#pay').isDisabled());
  assert.equal(await payer.page.getByRole('status').innerText(), 'Paying… Please keep this page open.');
  release.give();
  await payer.sees('success');
  assert.equal(payer.edge.confirms, 1);
  await paidOnce(order);
});

scene('a reload while Stripe is charging does not charge again', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  const charged = signal(), release = signal();
  payer.edge.onConfirm = async (_answer, route, ask) => {
    await ask();
    charged.give();
    await release.given;
    await route.abort().catch(() => {});
  };
  await payer.pays(CARDS.good);
  await charged.given;
  await payer.page.reload();
  await payer.sees('success');
  release.give();
  assert.equal(payer.edge.confirms, 1);
  await paidOnce(order);
});

scene('a reload before Stripe has heard of the card lets the payer pay, once', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  const arrived = signal();
  payer.edge.onConfirm = async (_answer, route) => { arrived.give(); await route.abort().catch(() => {}); };
  payer.expected = [/net::ERR_FAILED/];
  await payer.pays(CARDS.good);
  await arrived.given;
  await payer.page.reload();
  payer.edge.onConfirm = answer => answer();
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await paidOnce(order);
});

scene('the answer is lost on the way back: the page asks before it offers to pay again', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  payer.edge.onConfirm = async (_answer, route, ask) => { await ask(); await route.abort('connectionreset'); };
  payer.expected = [/net::ERR_CONNECTION_RESET/];
  await payer.pays(CARDS.good);
  await payer.sees('success');
  assert.equal(payer.edge.confirms, 1);
  assert.equal(payer.sessions, 2);
  await paidOnce(order);
});

scene('the card never reached Stripe: the payer is told, and may try again with what is typed', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  payer.edge.onConfirm = (_answer, route) => route.abort('connectionreset');
  payer.expected = [/net::ERR_CONNECTION_RESET/];
  await payer.pays(CARDS.good);
  await payer.page.getByRole('alert').filter({ hasText: 'The payment did not go through.' }).waitFor();
  await payer.sees('open');
  assert.equal(payer.sessions, 2);
  payer.edge.onConfirm = answer => answer();
  await payer.page.locator('#pay').click();
  await payer.sees('success');
  await paidOnce(order);
});

scene('nobody can be asked: the page says that it does not know, and finds out later', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.types(CARDS.good);
  payer.edge.onConfirm = async (_answer, route, ask) => {
    await ask();
    await payer.page.context().setOffline(true);
    await route.abort('internetdisconnected');
  };
  payer.expected = [/net::ERR_INTERNET_DISCONNECTED/];
  await payer.page.locator('#pay').click();
  await payer.sees('unsure');
  assert.equal(await payer.focus(), 'title');
  assert(!(await payer.page.locator('#form').isVisible()), 'nothing to pay with is offered');
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('unsure');
  // The browser says when it is back.
  await payer.page.context().setOffline(false);
  await payer.sees('success');
  assert.equal(payer.edge.confirms, 1);
  await paidOnce(order);
});

scene('back to the page after paying: nothing to pay any more', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await payer.page.goto('about:blank');
  await payer.page.goBack();
  await payer.sees('success');
  assert.equal(payer.edge.confirms, 1);
});

scene('a page that comes back as it was left, card fields and all, asks again before it lets anybody pay', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await paysElsewhere(payer, order);
  await payer.comesBack();
  await payer.sees('paid');
  assert.equal(payer.sessions, 2);
});

scene('an answer that comes too late is not believed', async payer => {
  const order = await Order.ask();
  const late = signal();
  payer.expected = [/net::ERR_FAILED/];
  let asked = 0;
  await payer.page.route('**/session', async route => {
    asked += 1;
    if (asked > 1) return route.continue();
    await late.given;
    await route.abort();
  });
  await Promise.all([payer.page.waitForRequest('**/session'), payer.opens(order.link)]);
  await payer.comesBack();
  await payer.sees('open');
  const failed = payer.page.waitForEvent('requestfailed');
  late.give();
  await failed;
  await payer.settled();
  await payer.sees('open');
});

scene('a script that comes too late opens nothing', async payer => {
  const order = await Order.ask();
  const late = signal();
  await payer.page.route('https://js.stripe.com/endive/stripe.js', async route => {
    await late.given;
    await route.fallback();
  });
  payer.link = order.link;
  await Promise.all([payer.page.waitForResponse('**/session'), payer.page.goto(order.link, { waitUntil: 'commit' })]);
  await payer.page.route('**/session', route => route.fulfill({ status: 410, json: { state: 'paid' } }));
  await payer.comesBack();
  await payer.sees('paid');
  late.give();
  await payer.page.waitForFunction(() => 'Stripe' in window);
  await payer.settled();
  await payer.sees('paid');
});

scene('two pages of one order: the second to pay is told that it is paid', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await paysElsewhere(payer, order);
  await payer.pays(CARDS.good);
  await payer.sees('paid');
  assert.equal(await payer.text('title'), 'Already paid');
  assert.equal(payer.edge.confirms, 2, 'Stripe refuses the second');
  await paidOnce(order);
});

scene('while Stripe is still at it the payer waits, and is told when it is done', async payer => {
  const order = await Order.ask();
  await payer.page.clock.install();
  await payer.opens(order.link);
  await payer.sees('open');
  let waiting = true;
  await payer.page.route('**/session', route => (waiting ? route.fulfill({ json: { state: 'processing' } }) : route.continue()));
  payer.edge.onConfirm = async (_answer, route, ask) => { await ask(); await route.abort('connectionreset'); };
  payer.expected = [/net::ERR_CONNECTION_RESET/];
  await payer.pays(CARDS.good);
  await payer.sees('processing');
  assert(!(await payer.page.locator('#form').isVisible()));
  const asked = payer.sessions;
  await Promise.all([payer.page.waitForResponse('**/session'), payer.page.clock.runFor(3100)]);
  assert.equal(payer.sessions, asked + 1);
  await payer.sees('processing');
  waiting = false;
  await payer.page.clock.runFor(3100);
  await payer.sees('success');
});

scene('paid just in time: the answer is lost, and the link expires meanwhile', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  payer.edge.onConfirm = async (_, route, ask) => {
    await ask();
    await expire(order.link);
    await route.abort('connectionreset');
  };
  payer.expected = [/net::ERR_CONNECTION_RESET/];
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await paidOnce(order);
});

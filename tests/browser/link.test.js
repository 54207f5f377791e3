// Links that lead nowhere any more, and pages that cannot do their work for the moment.

import assert from 'node:assert/strict';

import { CARDS, scene } from './payer.js';
import { Order, expire, stack } from './stack.js';

scene('an unknown link: one friendly page, and nobody is asked anything', async payer => {
  const reply = await payer.opens(`${stack.pages}/pay/${'A'.repeat(22)}`);
  assert.equal(reply?.status(), 404);
  await payer.sees('unknown');
  assert.equal(await payer.text('title'), 'This link does not work');
  assert.equal(await payer.text('text'), 'It may have expired, been used, or been mistyped. Please ask the agent for a new one.');
  assert.equal(await payer.focus(), 'title');
  assert.deepEqual(payer.requests.filter(url => !url.startsWith('data:')), [payer.link]);
});

scene('an expired link is the same page', async payer => {
  const order = await Order.ask();
  await expire(order.link);
  assert.equal((await payer.opens(order.link))?.status(), 410);
  await payer.sees('unknown');
  assert.equal(payer.sessions, 0);
});

scene('a link that expires under the payer says so', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.declined);
  await payer.sees('open');
  await expire(order.link);
  assert.equal((await payer.page.reload())?.status(), 410);
  await payer.sees('expired');
  assert.equal(await payer.text('text'), 'Please ask the agent for a new one.');
});

scene('a payment that is canceled under the payer says so, and cannot be paid', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await order.cancel();
  await payer.pays(CARDS.good);
  await payer.sees('canceled');
  assert.equal(await payer.text('text'), 'You have not been charged.');
  assert.equal((await order.atStripe()).status, 'canceled');
});

scene('a canceled payment’s link does not work', async payer => {
  const order = await Order.ask();
  await order.cancel();
  assert.equal((await payer.opens(order.link))?.status(), 410);
  await payer.sees('unknown');
});

scene('a payment that was paid through another link: this one does not work', async payer => {
  const order = await Order.ask();
  const older = order.link;
  await payer.opens(await order.anotherLink());
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await order.delivered('payment_intent.succeeded');
  const later = await payer.page.context().newPage();
  assert.equal((await later.goto(older))?.status(), 410);
  await later.locator('main[data-view=unknown]').waitFor();
});

scene('no connection: try again, or come back online', async payer => {
  const order = await Order.ask();
  await payer.page.route('**/session', route => route.abort('internetdisconnected'));
  payer.expected = [/net::ERR_INTERNET_DISCONNECTED/];
  await payer.opens(order.link);
  await payer.sees('unavailable');
  assert.equal(await payer.focus(), 'title');
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('unavailable');
  await payer.page.unroute('**/session');
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('open');
});

for (const [what, answer] of Object.entries({
  'the function cannot say': { status: 503, json: { state: 'unavailable' } },
  'API Gateway holds back': { status: 429, contentType: 'application/problem+json', body: '{"status": 429, "title": "Too Many Requests"}' },
  'something else answers': { status: 502, contentType: 'text/html', body: '<h1>Bad Gateway</h1>' },
})) {
  scene(`the session is not to be had (${what}): try again`, async payer => {
    const order = await Order.ask();
    await payer.page.route('**/session', route => route.fulfill(answer));
    payer.expected = [/status of (429|502|503)/];
    await payer.opens(order.link);
    await payer.sees('unavailable');
    await payer.page.unroute('**/session');
    await payer.page.getByRole('button', { name: 'Try again' }).click();
    await payer.sees('open');
  });
}

scene('a session that never answers is given up', async payer => {
  const order = await Order.ask();
  await payer.page.clock.install();
  await payer.page.route('**/session', () => {});
  payer.expected = [/net::ERR_ABORTED/];
  await Promise.all([payer.page.waitForRequest('**/session'), payer.opens(order.link)]);
  await payer.sees('loading');
  await payer.page.clock.runFor(15_100);
  await payer.sees('unavailable');
});

scene('the page comes as unavailable: try again goes on from there', async payer => {
  const order = await Order.ask();
  // The function's answer while its table does not answer.
  await payer.page.route(order.link, async route => {
    const reply = await route.fetch();
    await route.fulfill({ response: reply, status: 503, body: (await reply.text()).replace('data-state="open"', 'data-state="unavailable"') });
  });
  await payer.opens(order.link);
  await payer.sees('unavailable');
  assert.equal(payer.sessions, 0);
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('open');
});

scene('Stripe’s script is blocked: the payer is told which, and may allow it', async payer => {
  const order = await Order.ask();
  payer.edge.scriptBlocked = true;
  payer.expected = [/net::ERR_BLOCKED_BY_CLIENT/];
  await payer.opens(order.link);
  await payer.sees('blocked');
  assert.match(await payer.text('text'), /js\.stripe\.com/);
  payer.edge.scriptBlocked = false;
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
});

scene('Stripe’s fields do not load: try again', async payer => {
  const order = await Order.ask();
  await payer.page.route('https://js.stripe.com/stand-in/payment.js', route => route.fulfill({
    contentType: 'text/javascript', body: "parent.postMessage({ type: 'failed' }, '*');",
  }));
  await payer.opens(order.link);
  await payer.sees('unavailable');
  await payer.page.unroute('https://js.stripe.com/stand-in/payment.js');
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
});

scene('without JavaScript the page says so in four languages', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  for (const [language, word] of [['en', 'turn on'], ['es', 'Active'], ['fr', 'Activez'], ['de', 'schalten']]) {
    assert.match(await payer.page.locator(`p[lang=${language}]`).innerText(), new RegExp(`${word}.*JavaScript|JavaScript.*${word}`));
  }
  assert(!(await payer.page.locator('main').isVisible()));
  assert.deepEqual(payer.requests.filter(url => !url.startsWith('data:')), [payer.link]);
}, { javaScriptEnabled: false });

// Links that lead nowhere any more, and pages that cannot do their work for the moment.

import assert from 'node:assert/strict';

import { CARDS, scene } from './payer.js';
import { Order, expire, stack } from './stack.js';

scene('an unknown link says so, and only its own page and Stripe’s script are asked for', async payer => {
  const reply = await payer.opens(`${stack.pages}/pay#${'A'.repeat(22)}`);
  assert.equal(reply?.status(), 200);
  await payer.sees('unknown');
  assert.equal(await payer.text('title'), 'This link does not work');
  assert.equal(await payer.text('text'), 'It may have expired, been used, or been mistyped. Please ask the agent for a new one.');
  assert.equal(await payer.focus(), 'title');
  const asked = payer.requests.map(url => url.split('#')[0]).filter(url => !url.startsWith('data:'));
  assert.deepEqual(asked.filter(url => url.startsWith(stack.pages)), [`${stack.pages}/pay`, `${stack.pages}/pay/session`]);
});

for (const fragment of ['', '#', '#nonsense', `#${'A'.repeat(23)}`]) {
  scene(`no link at all (${fragment || 'nothing'}): the page asks nobody`, async payer => {
    await payer.page.goto(`${stack.pages}/pay${fragment}`);
    payer.link = `${stack.pages}/pay`;
    await payer.sees('unknown');
    assert.equal(payer.sessions, 0);
    assert.equal(payer.page.url(), payer.link);
  });
}

scene('a link with what a message puts behind it opens all the same', async payer => {
  const order = await Order.ask();
  await payer.page.goto(`${order.link}.`);
  payer.link = order.link;
  await payer.sees('open');
});

scene('an expired link says so', async payer => {
  const order = await Order.ask();
  await expire(order.link);
  await payer.opens(order.link);
  await payer.sees('expired');
  assert.equal(await payer.text('text'), 'Please ask the agent for a new one.');
});

scene('a slash at the end of the address changes nothing', async payer => {
  payer.atBank = true;
  payer.edge.redirects = true;
  const order = await Order.ask();
  payer.link = order.link.replace('/pay#', '/pay/#');
  await payer.page.route(/\/pay\/(\?.*)?$/, async route => route.fulfill({ response: await route.fetch({ url: `${stack.pages}/pay` }) }));
  await payer.page.goto(payer.link);
  await payer.sees('open');
  await payer.pays(CARDS.secure);
  await payer.page.getByRole('button', { name: 'Complete' }).click();
  payer.returns = 1;
  await payer.page.waitForURL(payer.link);
  await payer.sees('success');
});

scene('a second link in the same tab is the one that is shown and paid', async payer => {
  const [first, second] = [await Order.ask(), await Order.ask({ amount: '20.00' })];
  await payer.opens(first.link);
  await payer.sees('open');
  await payer.page.evaluate(link => { location.href = link; }, second.link);
  await payer.page.getByRole('button', { name: 'Pay $20.00' }).waitFor();
  payer.link = second.link;
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  assert.equal((await first.atStripe()).status, 'requires_payment_method');
  assert.equal((await second.atStripe()).status, 'succeeded');
});

scene('a link that expires under the payer says so', async payer => {
  const order = await Order.ask();
  await payer.opens(order.link);
  await payer.sees('open');
  await payer.pays(CARDS.declined);
  await payer.sees('open');
  await expire(order.link);
  await payer.page.reload();
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

scene('a canceled payment’s link says so', async payer => {
  const order = await Order.ask();
  await order.cancel();
  await payer.opens(order.link);
  await payer.sees('canceled');
});

scene('a payment that was paid through another link: this one says so', async payer => {
  const order = await Order.ask();
  const older = order.link;
  await payer.opens(await order.anotherLink());
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
  await order.delivered('payment_intent.succeeded');
  const later = await payer.page.context().newPage();
  await later.goto(older);
  await later.locator('main[data-view=paid]').waitFor();
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

for (const [what, answer] of Object.entries({
  nothing: 'null', 'an open payment without an amount': '{"state":"open"}', 'a state of another version': '{"state":"new"}',
})) {
  scene(`the session answers with ${what}: try again`, async payer => {
    const order = await Order.ask();
    await payer.page.route('**/session', route => route.fulfill({ contentType: 'application/json', body: answer }));
    await payer.opens(order.link);
    await payer.sees('unavailable');
    await payer.page.unroute('**/session');
    await payer.page.getByRole('button', { name: 'Try again' }).click();
    await payer.sees('open');
  });
}

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

/** Something on the way swallows what Stripe's frame says. @param {import('./payer.js').Payer} payer */
async function opensWithoutFrame(payer) {
  const order = await Order.ask();
  await payer.page.clock.install();
  await payer.page.route('https://js.stripe.com/stand-in/payment.js', route => route.fulfill({ contentType: 'text/javascript', body: '' }));
  await payer.opens(order.link);
  await payer.page.locator('main[data-view=open] #card iframe').waitFor();
  await payer.page.clock.runFor(19_000);
  assert.equal(await payer.page.locator('main').getAttribute('data-view'), 'open', 'a slow network is given its time');
  await payer.page.clock.runFor(1_100);
  await payer.sees('blocked');
}

scene('Stripe’s frame never gets ready: the payer is told, and gets on in another browser', async payer => {
  await payer.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await opensWithoutFrame(payer);
  assert.match(await payer.text('text'), /js\.stripe\.com.*another browser/);
  assert(!(await payer.page.locator('#form').isVisible()), 'no dead button is left');
  await payer.page.getByRole('button', { name: 'Copy the link' }).click();
  await payer.page.getByRole('status').filter({ hasText: 'Copied' }).waitFor();
  assert.equal(await payer.page.evaluate(() => navigator.clipboard.readText()), payer.link);
  assert.deepEqual(await payer.barriers(), []);
  await payer.page.unroute('https://js.stripe.com/stand-in/payment.js');
  await payer.page.getByRole('button', { name: 'Try again' }).click();
  await payer.sees('open');
  await payer.pays(CARDS.good);
  await payer.sees('success');
});

scene('an app’s browser forbids to copy: the address is there to be read', async payer => {
  await payer.page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await opensWithoutFrame(payer);
  await payer.page.getByRole('button', { name: 'Copy the link' }).click();
  await payer.page.getByRole('status').filter({ hasText: payer.link }).waitFor();
});

scene('Stripe’s frame gets ready after all: the payer can pay', async payer => {
  await opensWithoutFrame(payer);
  await payer.page.unroute('https://js.stripe.com/stand-in/payment.js');
  const frame = payer.page.frame({ url: 'https://js.stripe.com/stand-in/payment.html' });
  await frame?.evaluate(() => location.reload());
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
  assert.deepEqual(payer.requests.filter(url => !url.startsWith('data:')).map(url => url.split('#')[0]), [`${stack.pages}/pay`]);
}, { javaScriptEnabled: false });

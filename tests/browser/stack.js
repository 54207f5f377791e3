// The deployed stack as the tests see it: browser.py says where its parts are.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

/** @typedef {{
 *   chromium: string, screenshots: string,
 *   api: string, apiKey: string, pages: string, stripe: string, stripeKey: string, publishableKey: string, genesys: string, control: string,
 * }} Stack */

assert(process.env.BROWSER_TEST_STACK, 'these tests run on a deployed stack: make browser-test');
/** @type {Stack} */
export const stack = JSON.parse(process.env.BROWSER_TEST_STACK);

/** An order somebody is asked to pay: a call at Genesys, a payment, and the link to it. */
export class Order {
  conversation = randomUUID();
  order = `ORDER-${randomUUID().slice(0, 8)}`;
  link = '';
  intent = '';
  /** What was asked for. @type {Record<string, string>} */ fields = {};

  /** @param {Record<string, string>} fields */
  static async ask(fields = {}) {
    const order = new Order();
    await post(`${stack.genesys}/_control/conversations`, { conversation_id: order.conversation, purpose: 'customer' });
    order.fields = { conversation_id: order.conversation, order_id: order.order, amount: '50.00', currency: 'usd', ...fields };
    order.link = await order.anotherLink();
    return order;
  }

  /** Asks for the same payment once more: every request makes a link of its own. */
  async anotherLink() {
    const reply = await post(`${stack.api}/payments`, this.fields, { 'x-api-key': stack.apiKey });
    this.intent = reply.payment_intent_id;
    const token = /\/pay#([0-9A-Za-z]{22})$/.exec(reply.payment_url)?.[1];
    assert(token, 'payment_url leads to no pay link');
    await post(`${stack.control}/issued`, { token });
    // The emulated API is not at the host name that AWS would give it.
    return `${stack.pages}/pay#${token}`;
  }

  /** The payment at Stripe, as the account's owner sees it. */
  async atStripe() {
    const headers = { Authorization: `Bearer ${stack.stripeKey}` };
    return (await fetch(`${stack.stripe}/v1/payment_intents/${this.intent}`, { headers })).json();
  }

  /** Waits until Stripe has delivered a webhook about the payment, and until it was answered.
   * @param {string} event */
  async delivered(event) {
    await post(`${stack.control}/delivered`, { intent: this.intent, event });
  }

  /** The merchant cancels the payment. */
  async cancel() {
    const headers = { 'x-api-key': stack.apiKey };
    const reply = await fetch(`${stack.api}/payments/${this.conversation}?order_id=${this.order}`, { method: 'DELETE', headers });
    assert.equal(reply.status, 200, await reply.text());
  }

  /** What Genesys was told. */
  async told() {
    const reply = await fetch(`${stack.genesys}/_control/conversations/${this.conversation}`);
    return (await reply.json()).attributes;
  }
}

/** Lets a link's time be over.
 * @param {string} link */
export async function expire(link) {
  await post(`${stack.control}/expire`, { token: link.slice(-22) });
}

/** @param {string} url @param {unknown} body @param {Record<string, string>} headers */
async function post(url, body, headers = {}) {
  const reply = await fetch(url, {
    method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers },
  });
  const text = await reply.text();
  assert(reply.ok, `${new URL(url).pathname} answered ${reply.status} ${text}`);
  return JSON.parse(text || '{}');
}

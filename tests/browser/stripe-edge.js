// Everything under stripe.com that the browser asks for: the stand-in of Stripe.js and its frames from files, the API from
// localstripe, as Stripe's own edge would do it.

import { readFileSync } from 'node:fs';

import { stack } from './stack.js';

/** @typedef {import('playwright-core').Route} Route */
/** @typedef {import('playwright-core').BrowserContext} BrowserContext */

/** @param {string} name */
const file = name => readFileSync(new URL(`stripe/${name}`, import.meta.url), 'utf8');
const html = /** @param {string} name */ name => ({ contentType: 'text/html; charset=utf-8', body: file(name) });
const javascript = /** @param {string} name */ name => ({ contentType: 'text/javascript; charset=utf-8', body: file(name) });

export class StripeEdge {
  /** Requests to confirm a payment, counted as they arrive. */
  confirms = 0;
  /** Whether js.stripe.com can be reached. */
  scriptBlocked = false;
  /** Whether a bank asks its question on a page of its own and not in a frame. */
  redirects = false;
  /** What becomes of a confirm request. `answer` has Stripe do it and gives its answer to the browser.
   * @type {(answer: () => Promise<void>, route: Route, ask: () => Promise<Reply>) => Promise<void>} */
  onConfirm = answer => answer();

  /** Where each payment wants its payer back. @type {Map<string, string>} */
  #returnUrls = new Map();

  /** Where Stripe sends the payer of a payment back to. @param {string} intent */
  returnUrl(intent) {
    return this.#returnUrls.get(intent);
  }

  /** @param {BrowserContext} context */
  async serve(context) {
    await context.route('https://js.stripe.com/**', route => this.#js(route));
    await context.route('https://hooks.stripe.com/**', route => this.#hooks(route));
    await context.route('https://api.stripe.com/**', route => this.#api(route));
  }

  /** @param {Route} route */
  #js(route) {
    if (this.scriptBlocked) return route.abort('blockedbyclient');
    switch (new URL(route.request().url()).pathname) {
      case '/endive/stripe.js': return route.fulfill(javascript('stripe.js'));
      case '/stand-in/payment.html': return route.fulfill(html('payment.html'));
      case '/stand-in/payment.js': return route.fulfill(javascript('payment.js'));
      default: return route.fulfill({ status: 404 });
    }
  }

  /** @param {Route} route */
  async #hooks(route) {
    const url = new URL(route.request().url());
    if (url.pathname === '/stand-in/challenge.html') return route.fulfill(html('challenge.html'));
    const intent = url.searchParams.get('intent') || '';
    if (route.request().method() === 'GET') return route.fulfill(html('redirect.html'));
    // The bank's page is answered; Stripe finishes the payment and sends the payer back.
    const success = new URLSearchParams(route.request().postData() || '').get('success') || '';
    const { client_secret: secret } = await this.#owner(intent);
    await ask(`/v1/payment_intents/${intent}/_authenticate`, { key: stack.publishableKey, client_secret: secret, success });
    const back = new URL(this.#returnUrls.get(intent) || 'about:blank');
    back.searchParams.set('payment_intent', intent);
    back.searchParams.set('payment_intent_client_secret', secret);
    back.searchParams.set('redirect_status', success === 'true' ? 'succeeded' : 'failed');
    return route.fulfill({ status: 303, headers: { location: back.href } });
  }

  /** @param {Route} route */
  async #api(route) {
    const [, intent, verb] = /^\/v1\/payment_intents\/(\w+)\/(\w+)$/.exec(new URL(route.request().url()).pathname) || [];
    const form = Object.fromEntries(new URLSearchParams(route.request().postData() || ''));
    if (verb === 'authenticate') return answer(route, await ask(`/v1/payment_intents/${intent}/_authenticate`, form));
    if (verb !== 'confirm') return route.fulfill({ status: 404 });
    this.confirms += 1;
    this.#returnUrls.set(intent, form.return_url);
    // localstripe does not know it.
    delete form.return_url;
    const confirm = async () => {
      const reply = await ask(`/v1/payment_intents/${intent}/confirm`, form);
      if (this.redirects && reply.body.next_action) {
        const url = `https://hooks.stripe.com/stand-in/redirect.html?intent=${intent}`;
        reply.body.next_action = { type: 'redirect_to_url', redirect_to_url: { url } };
      }
      return reply;
    };
    return this.onConfirm(async () => answer(route, await confirm()), route, confirm);
  }

  /** @param {string} intent */
  async #owner(intent) {
    const headers = { Authorization: `Bearer ${stack.stripeKey}` };
    return (await fetch(`${stack.stripe}/v1/payment_intents/${intent}`, { headers })).json();
  }
}

/** @typedef {{ status: number, body: any }} Reply */

/** @param {string} path @param {Record<string, string>} form @returns {Promise<Reply>} */
async function ask(path, form) {
  const reply = await fetch(stack.stripe + path, { method: 'POST', body: new URLSearchParams(form) });
  return { status: reply.status, body: await reply.json() };
}

/** @param {Route} route @param {Reply} reply */
async function answer(route, reply) {
  // The page may have gone away meanwhile.
  await route.fulfill({ status: reply.status, json: reply.body, headers: { 'access-control-allow-origin': '*' } }).catch(() => {});
}

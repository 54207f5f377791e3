// Stands in for https://js.stripe.com/endive/stripe.js: the Payment Element in a frame of js.stripe.com, confirmPayment
// with a 3-D Secure frame of hooks.stripe.com, and the mistakes of an integration that the real one throws at.
(() => {
  const FRAMES = 'https://js.stripe.com';
  const HOOKS = 'https://hooks.stripe.com';
  const API = 'https://api.stripe.com/v1';

  /** @typedef {import('./stand-in.js').StandIn} StandIn */
  /** @typedef {import('./stand-in.js').StandInElement} StandInElement */
  /** @typedef {import('./stand-in.js').StandInElements} StandInElements */
  /** @typedef {import('./stand-in.js').ToFrame} ToFrame */
  /** @typedef {import('./stand-in.js').FromFrame} FromFrame */
  /** @typedef {import('./stand-in.js').FromChallenge} FromChallenge */
  /** @typedef {import('./stand-in.js').PaymentIntentResult} PaymentIntentResult */

  class IntegrationError extends Error {}

  /** @type {(holds: unknown, message: string) => asserts holds} */
  function insist(holds, message) {
    if (!holds) throw new IntegrationError(message);
  }

  /** Styles an element by its attribute's text, which a content security policy may block; by `element.style` it could not.
   * @param {HTMLElement} element @param {Record<string, string>} styles */
  function style(element, styles) {
    const more = Object.entries(styles).map(([name, value]) => `${name}: ${value} !important`);
    element.setAttribute('style', [element.getAttribute('style'), ...more].filter(Boolean).join('; '));
  }

  /** @param {string} title @param {string} address */
  function frame(title, address) {
    const made = document.createElement('iframe');
    made.title = title;
    made.src = address;
    style(made, { border: '0', width: '100%', 'color-scheme': 'normal' });
    return made;
  }

  /** Hears what one frame says, until it is told to stop.
   * @template Said
   * @param {HTMLIFrameElement} from @param {string} origin @param {(said: Said) => void} heard */
  function hear(from, origin, heard) {
    /** @param {MessageEvent<Said>} event */
    const listener = event => {
      if (event.source === from.contentWindow && event.origin === origin) heard(event.data);
    };
    addEventListener('message', listener);
    return () => removeEventListener('message', listener);
  }

  /** @implements {StandInElement} */
  class PaymentElement {
    /** @type {HTMLIFrameElement | undefined} */ frame;
    /** @type {Record<string, ((event: any) => unknown)[]>} */ handlers = { ready: [], loaderror: [] };
    /** @type {(() => void)[]} */ ends = [];
    /** @type {((result: PaymentIntentResult) => void) | undefined} */ confirmed;

    /** @param {Elements} elements */
    constructor(elements) {
      this.elements = elements;
    }

    /** @param {string} name @param {(event: any) => unknown} handler */
    on(name, handler) {
      insist(name in this.handlers, `no event ${name}`);
      this.handlers[name].push(handler);
      return this;
    }

    /** @param {string} selector */
    mount(selector) {
      const place = document.querySelector(selector);
      insist(place, `nothing at ${selector} to mount to`);
      insist(place.getClientRects().length, `${selector} is not displayed`);
      const made = this.frame = frame('Secure payment input frame', `${FRAMES}/stand-in/payment.html`);
      this.ends.push(hear(made, FRAMES, /** @param {FromFrame} said */ said => this.heard(said)));
      this.ends.push(() => made.remove());
      place.append(made);
    }

    /** @param {FromFrame} said */
    heard(said) {
      const { locale, options } = this.elements;
      switch (said.type) {
        case 'loaded':
          return this.say({ type: 'init', locale, appearance: options.appearance || {} });
        case 'height':
          return this.frame && style(this.frame, { height: `${said.height}px` });
        case 'ready':
          return this.handlers.ready.forEach(handler => handler({ elementType: 'payment' }));
        case 'failed':
          return this.handlers.loaderror.forEach(handler => handler({ elementType: 'payment', error: { type: 'api_connection_error' } }));
        case 'submit':
          return this.frame?.closest('form')?.requestSubmit();
        case 'confirmed':
          return this.confirmed?.(said.result);
      }
    }

    /** @param {ToFrame} message */
    say(message) {
      this.frame?.contentWindow?.postMessage(message, FRAMES);
    }

    destroy() {
      this.ends.forEach(end => end());
      this.elements.element = undefined;
    }
  }

  /** @implements {StandInElements} */
  class Elements {
    /** @type {PaymentElement | undefined} */ element;

    /** @param {import('@stripe/stripe-js').StripeElementsOptionsClientSecret} options @param {string} locale */
    constructor(options, locale) {
      insist(/^pi_\w+_secret_\w+$/.test(options.clientSecret || ''), 'clientSecret is not that of a PaymentIntent');
      this.options = options;
      this.locale = options.locale || locale;
    }

    /** @param {'payment'} type @param {import('@stripe/stripe-js').StripePaymentElementOptions} [options] */
    create(type, options) {
      insist(type === 'payment', `no element ${type}`);
      insist(!this.element, 'only one Payment Element per group');
      // Wallets would want frames and connections that the page's policy has not.
      const { applePay, googlePay, link } = options?.wallets || {};
      insist([applePay, googlePay, link].every(wallet => wallet === 'never'), 'the stand-in has no wallets');
      return this.element = new PaymentElement(this);
    }

    /** @param {import('@stripe/stripe-js').StripeElementsUpdateOptions} options */
    update(options) {
      if (options.appearance) this.element?.say({ type: 'update', appearance: options.appearance });
    }
  }

  /** Shows the bank's question above the page; says whether the payer passed.
   * @returns {Promise<boolean>} */
  function challenge() {
    const veil = document.createElement('div');
    style(veil, { position: 'fixed', inset: '0', background: 'rgba(0, 0, 0, .5)', 'z-index': '2147483647' });
    const asked = frame('3-D Secure', `${HOOKS}/stand-in/challenge.html`);
    style(asked, { position: 'absolute', inset: '15vh auto auto 5%', width: '90%', height: '14rem', background: '#fff' });
    veil.append(asked);
    document.body.append(veil);
    return new Promise(done => {
      const end = hear(asked, HOOKS, /** @param {FromChallenge} said */ said => {
        end();
        veil.remove();
        done(said.success);
      });
    });
  }

  /** @implements {StandIn} */
  class StandInStripe {
    /** @param {string} key @param {import('./stand-in.js').StripeConstructorOptions} options */
    constructor(key, options) {
      insist(/^pk_(test|live)_/.test(key), 'no publishable key');
      this.key = key;
      this.locale = options.locale || 'auto';
    }

    /** @param {import('@stripe/stripe-js').StripeElementsOptionsClientSecret} options */
    elements(options) {
      return new Elements(options, this.locale);
    }

    /** @type {StandIn['confirmPayment']} */
    async confirmPayment({ elements, confirmParams, redirect }) {
      insist(elements instanceof Elements && elements.element?.frame?.isConnected, 'no mounted Payment Element');
      insist(redirect === 'if_required' && confirmParams?.return_url, 'return_url is missing');
      const element = elements.element, clientSecret = elements.options.clientSecret || '';
      const intent = clientSecret.split('_secret_')[0];
      /** @type {PaymentIntentResult} */
      const result = await new Promise(done => {
        element.confirmed = done;
        element.say({ type: 'confirm', key: this.key, intent, clientSecret, returnUrl: confirmParams.return_url || '' });
      });
      const next = result.paymentIntent?.status === 'requires_action' && result.paymentIntent.next_action;
      if (!next) return result;
      if (next.redirect_to_url?.url) {
        location.assign(next.redirect_to_url.url);
        return new Promise(() => {});
      }
      return this.authenticate(intent, clientSecret, await challenge());
    }

    /** @param {string} intent @param {string} clientSecret @param {boolean} success
     * @returns {Promise<PaymentIntentResult>} */
    async authenticate(intent, clientSecret, success) {
      const body = new URLSearchParams({ key: this.key, client_secret: clientSecret, success: String(success) });
      const reply = await fetch(`${API}/payment_intents/${intent}/authenticate`, { method: 'POST', body });
      const answer = await reply.json();
      if (!reply.ok) return { error: answer.error };
      if (success) return { paymentIntent: answer };
      return {
        error: {
          type: 'invalid_request_error', code: 'payment_intent_authentication_failure', payment_intent: answer,
          message: 'We are unable to authenticate your payment method. Please choose a different payment method and try again.',
        },
      };
    }
  }

  /** @param {string} key @param {import('./stand-in.js').StripeConstructorOptions} [options] */
  const Stripe = (key, options) => new StandInStripe(key, options || {});
  // Not all of Stripe, but what there is of it is like it: see `Faithful`.
  window.Stripe = /** @type {any} */ (Stripe);
})();

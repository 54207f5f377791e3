// The stand-in's card fields. They live in a frame of js.stripe.com and speak to api.stripe.com themselves, so that the
// page around them never has the card.
{
  /** @typedef {import('./stand-in.js').ToFrame} ToFrame */
  /** @typedef {import('./stand-in.js').FromFrame} FromFrame */
  /** @typedef {import('./stand-in.js').PaymentIntentResult} PaymentIntentResult */

  const form = document.forms[0];
  const LABELS = /** @type {Record<string, string[]>} */ ({
    es: ['Número de tarjeta', 'Fecha de caducidad', 'Código de seguridad'],
    fr: ['Numéro de carte', 'Date d’expiration', 'Code de sécurité'],
    de: ['Kartennummer', 'Ablaufdatum', 'Sicherheitscode'],
  });

  /** @param {FromFrame} message */
  const say = message => parent.postMessage(message, '*');

  /** @param {string} name */
  const field = name => /** @type {HTMLInputElement} */ (form.elements.namedItem(name)).value.replace(/\D/g, '');

  /** @param {import('@stripe/stripe-js').Appearance} appearance */
  function look(appearance) {
    const { variables = {}, theme = 'stripe' } = appearance;
    const { colorText, colorBackground, colorPrimary, colorDanger, borderRadius, fontFamily } = variables;
    const values = { text: colorText, background: colorBackground, primary: colorPrimary, danger: colorDanger, radius: borderRadius };
    for (const [name, value] of Object.entries(values)) document.body.style.setProperty(`--${name}`, value || 'initial');
    document.body.style.setProperty('--line', theme === 'night' ? '#475160' : '#d5dae1');
    document.body.style.fontFamily = fontFamily || 'sans-serif';
    document.body.dataset.theme = theme;
  }

  /** @param {string} message */
  function complain(message) {
    form.querySelector('p')?.replaceChildren(message);
    say({ type: 'height', height: height() });
  }

  const height = () => form.getBoundingClientRect().height + 4;

  /** @param {Extract<ToFrame, { type: 'confirm' }>} order @returns {Promise<PaymentIntentResult>} */
  async function confirm(order) {
    const number = field('number'), expiry = field('expiry'), cvc = field('cvc');
    if (number.length < 16 || expiry.length < 4 || cvc.length < 3) {
      const message = 'Your card number is incomplete.';
      complain(message);
      return { error: { type: 'validation_error', code: 'incomplete_number', message } };
    }
    complain('');
    const body = new URLSearchParams({
      key: order.key, client_secret: order.clientSecret, return_url: order.returnUrl,
      'payment_method_data[type]': 'card',
      'payment_method_data[card][number]': number,
      'payment_method_data[card][exp_month]': expiry.slice(0, 2),
      'payment_method_data[card][exp_year]': expiry.slice(2),
      'payment_method_data[card][cvc]': cvc,
    });
    try {
      const reply = await fetch(`https://api.stripe.com/v1/payment_intents/${order.intent}/confirm`, { method: 'POST', body });
      const answer = await reply.json();
      return reply.ok ? { paymentIntent: answer } : { error: answer.error };
    } catch {
      return { error: { type: 'api_connection_error', message: 'We are experiencing issues connecting to our payments provider.' } };
    }
  }

  addEventListener('message', async event => {
    const message = /** @type {ToFrame} */ (event.data);
    if (event.source !== parent) return;
    if (message.type === 'confirm') say({ type: 'confirmed', result: await confirm(message) });
    else look(message.appearance);
    if (message.type === 'init') {
      document.documentElement.lang = message.locale;
      form.querySelectorAll('span').forEach((span, at) => { span.textContent = LABELS[message.locale]?.[at] || span.textContent; });
      say({ type: 'height', height: height() });
      say({ type: 'ready' });
    }
  });
  form.addEventListener('submit', event => {
    event.preventDefault();
    say({ type: 'submit' });
  });
  say({ type: 'loaded' });
}

// What the stand-in has of Stripe.js, in the words of Stripe's own declarations.
import type {
  Appearance, ConfirmPaymentData, PaymentIntentResult, Stripe, StripeConstructorOptions, StripeElementsOptionsClientSecret,
  StripeElementsUpdateOptions, StripeError, StripePaymentElementOptions,
} from '@stripe/stripe-js';

export interface StandInElement {
  mount(selector: string): void;
  destroy(): void;
  on(event: 'ready', handler: (event: { elementType: 'payment' }) => unknown): unknown;
  on(event: 'loaderror', handler: (event: { elementType: 'payment'; error: StripeError }) => unknown): unknown;
}

export interface StandInElements {
  create(type: 'payment', options?: StripePaymentElementOptions): StandInElement;
  update(options: StripeElementsUpdateOptions): void;
}

export interface StandIn {
  elements(options: StripeElementsOptionsClientSecret): StandInElements;
  confirmPayment(options: {
    elements: StandInElements;
    confirmParams?: Partial<ConfirmPaymentData>;
    redirect: 'if_required';
  }): Promise<PaymentIntentResult>;
}

type Holds<T extends true> = T;
/** Whatever is asked of the stand-in could be asked of the real one; otherwise this does not compile. */
export type Faithful = Holds<Stripe extends StandIn ? true : false>;

/** What the page says to the frame with the card's fields. */
export type ToFrame =
  | { type: 'init'; locale: string; appearance: Appearance }
  | { type: 'update'; appearance: Appearance }
  | { type: 'confirm'; key: string; intent: string; clientSecret: string; returnUrl: string };

/** What that frame says to the page. */
export type FromFrame =
  | { type: 'loaded' }
  | { type: 'failed' }
  | { type: 'height'; height: number }
  | { type: 'ready' }
  | { type: 'submit' }
  | { type: 'confirmed'; result: PaymentIntentResult };

/** What the frame of 3-D Secure says to the page. */
export type FromChallenge = { type: 'challenge'; success: boolean };

export type { PaymentIntentResult, StripeConstructorOptions, StripeError };

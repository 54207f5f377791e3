// One payer pays one link and leaves, for demo.py: PAY_LINK says where, PAY_CARD with which of Stripe's test cards.

import { scene } from './payer.js';

const { PAY_LINK: link = '', PAY_CARD: card = '' } = process.env;

scene('a caller pays', async payer => {
  await payer.opens(link);
  await payer.sees('open');
  await payer.pays(card);
  await payer.sees('success');
});

// A peer of create-intent for Node.js: the same job over the same protocol and the same items, with the
// official SDKs, one client of each for the life of the process, kept connections and one retry. Beside
// the job it has what AWS's managed runtime does: a loop over Lambda's Runtime API.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import Stripe from 'stripe';

const {
  AWS_LAMBDA_RUNTIME_API,
  ALLOWED_CURRENCIES,
  MAX_AMOUNTS,
  PAY_LINK_BASE,
  PAY_LINK_MINUTES,
  RECORD_DAYS,
  STRIPE_API_BASE,
  STRIPE_SECRET_ID,
  TABLE_NAME,
} = process.env;

const currencies = new Set(ALLOWED_CURRENCIES.split(','));
const ceilings = new Map(MAX_AMOUNTS.split(',').map((pair) => pair.split('=')));
const BASE_36 = '0123456789abcdefghijklmnopqrstuvwxyz';
const BASE_62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const aws = { maxAttempts: 2, requestHandler: { connectionTimeout: 500, requestTimeout: 800 } };
const dynamodb = new DynamoDBClient(aws);
const secretsManager = new SecretsManagerClient(aws);

const text = (S) => ({ S });
const number = (n) => ({ N: String(n) });

async function stripeClient() {
  const secret = await secretsManager.send(new GetSecretValueCommand({ SecretId: STRIPE_SECRET_ID }));
  const base = new URL(STRIPE_API_BASE);
  return new Stripe(JSON.parse(secret.SecretString).secret_key, {
    protocol: base.protocol.slice(0, -1),
    host: base.hostname,
    port: base.port,
    maxNetworkRetries: 1,
    timeout: 4000,
  });
}

class Refused extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

function order(body) {
  const { conversation_id: conversationId, order_id: orderId, amount, currency } = JSON.parse(body);
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(conversationId)) {
    throw new Refused(400, 'invalid_conversation_id', 'conversation_id must be a UUID');
  }
  if (!/^[A-Za-z0-9._:-]{1,100}$/.test(orderId)) {
    throw new Refused(400, 'invalid_order_id', 'order_id must be 1 to 100 of A-Z a-z 0-9 . _ : -');
  }
  if (!currencies.has(currency)) throw new Refused(400, 'currency_not_allowed', 'currency must be allowed');
  const digits = /^(\d{1,6})(?:\.(\d{2}))?$/.exec(amount);
  if (!digits) throw new Refused(400, 'invalid_amount', 'amount must be a decimal with two places');
  const amountMinor = Number(digits[1]) * 100 + Number(digits[2] ?? 0);
  if (amountMinor < 50 || amountMinor > Number(ceilings.get(currency) ?? 99999999)) {
    throw new Refused(400, 'amount_above_limit', 'amount must be within the limits');
  }
  return { conversationId, orderId, amountMinor, currency };
}

const keyOf = ({ orderId }) => ({ pk: text(`ORDER#${orderId}`), sk: text('PAYMENT') });

function randomText(digits, length) {
  let rest = BigInt(`0x${randomBytes(16).toString('hex')}`);
  let written = '';
  for (let place = 0; place < length; place += 1) {
    written = digits[Number(rest % BigInt(digits.length))] + written;
    rest /= BigInt(digits.length);
  }
  return written;
}

const expiresAt = (now) => number(Math.floor(now / 1000) + Number(RECORD_DAYS) * 86400);

const correlation = (uid, { conversationId, orderId }) => ({
  payment_uid: text(uid),
  conversation_id: text(conversationId),
  order_id: text(orderId),
  attempt: number(1),
});

async function begin(wanted, now) {
  const item = {
    ...keyOf(wanted),
    ...correlation(randomText(BASE_36, 25), wanted),
    holder_conversation_id: text(wanted.conversationId),
    version: number(1),
    amount_minor: number(wanted.amountMinor),
    currency: text(wanted.currency),
    status: text('CREATING'),
    terms: { M: { capture_method: text('automatic') } },
    capture_method: text('automatic'),
    amount_received_minor: number(0),
    declines: { L: [] },
    was_authorized: { BOOL: false },
    attempt_started_at: number(now),
    created_at: number(now),
    updated_at: number(now),
    expires_at: expiresAt(now),
    notified_opened: { BOOL: false },
  };
  try {
    await dynamodb.send(
      new PutItemCommand({
        TableName: TABLE_NAME,
        Item: item,
        ConditionExpression: 'attribute_not_exists(pk)',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }),
    );
    return item;
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException && error.Item) return error.Item;
    throw error;
  }
}

// Puts the intent on record, with whose it is, a fresh link and the conversation's newest order.
async function adopt(wanted, record, intent, now) {
  const owner = correlation(record.payment_uid.S, wanted);
  const token = randomText(BASE_62, 22);
  const validUntil = now + Number(PAY_LINK_MINUTES) * 60000;
  const link = {
    pk: text(`LINK#${createHash('sha256').update(token).digest('hex')}`),
    sk: text('LINK'),
    ...owner,
    valid_until: number(validUntil),
    expires_at: number(Math.floor(validUntil / 1000) + 7 * 86400),
  };
  const newest = {
    pk: text(`CONVERSATION#${wanted.conversationId}`),
    sk: text('NEWEST'),
    order_id: text(wanted.orderId),
    expires_at: expiresAt(now),
  };
  await dynamodb.send(
    new TransactWriteItemsCommand({
      TransactItems: [
        {
          Update: {
            TableName: TABLE_NAME,
            Key: keyOf(wanted),
            UpdateExpression:
              'SET #status = :status, payment_intent_id = :intent, stripe_status = :stripe_status, ' +
              'as_of_from = :as_of, as_of_until = :as_of, updated_at = :now, version = :version REMOVE terms',
            ConditionExpression: 'version = :version_before',
            ExpressionAttributeNames: { '#status': 'status' },
            ExpressionAttributeValues: {
              ':status': text('PENDING'),
              ':intent': text(intent.id),
              ':stripe_status': text(intent.status),
              ':as_of': number(intent.created),
              ':now': number(now),
              ':version': number(Number(record.version.N) + 1),
              ':version_before': record.version,
            },
          },
        },
        {
          Put: {
            TableName: TABLE_NAME,
            Item: {
              pk: text(`INTENT#${intent.id}`),
              sk: text('INTENT'),
              ...owner,
              expires_at: record.expires_at,
            },
            ConditionExpression: 'attribute_not_exists(pk)',
          },
        },
        { Put: { TableName: TABLE_NAME, Item: newest } },
        { Put: { TableName: TABLE_NAME, Item: link } },
      ],
    }),
  );
  return `${PAY_LINK_BASE}/pay#${token}`;
}

async function create(stripe, body) {
  const wanted = order(body);
  const { conversationId, orderId, amountMinor, currency } = wanted;
  const now = Date.now();
  const record = await begin(wanted, now);
  if (record.amount_minor.N !== String(amountMinor) || record.currency.S !== currency) {
    throw new Refused(409, 'order_changed', 'the order stands with another amount or currency');
  }
  if (record.status.S !== 'CREATING') throw new Refused(409, 'in_progress', 'the order has its intent already');
  const uid = record.payment_uid.S;
  const intent = await stripe.paymentIntents.create(
    {
      amount: amountMinor,
      currency,
      allowed_payment_method_types: ['card'],
      capture_method: 'automatic',
      metadata: { payment_uid: uid, conversation_id: conversationId, order_id: orderId, attempt: '1' },
    },
    { idempotencyKey: `${uid}/1` },
  );
  if (intent.amount !== amountMinor || intent.currency !== currency) {
    throw new Refused(502, 'stripe_rejected', 'the intent disagrees with the record');
  }
  const paymentUrl = await adopt(wanted, record, intent, now);
  console.log(
    JSON.stringify({
      timestamp: new Date().toISOString(),
      level: 'INFO',
      message: 'payment answered',
      conversation_id: conversationId,
      order_id: orderId,
      payment_intent_id: intent.id,
      payment_status: 'PENDING',
    }),
  );
  return {
    payment_status: 'PENDING',
    final: false,
    payment_intent_id: intent.id,
    stripe_status: intent.status,
    conversation_id: conversationId,
    is_holder: true,
    order_id: orderId,
    attempt: 1,
    amount: (amountMinor / 100).toFixed(2),
    amount_minor: amountMinor,
    amount_received_minor: intent.amount_received,
    currency,
    payment_url: paymentUrl,
    client_secret: '',
    reason_code: '',
    caller_message: 'The payment is waiting for you.',
    retryable: false,
  };
}

async function handle(stripe, event) {
  const respond = (statusCode, contentType, body) => ({
    statusCode,
    headers: { 'content-type': contentType },
    multiValueHeaders: {},
    body: JSON.stringify(body),
    isBase64Encoded: false,
  });
  try {
    return respond(201, 'application/json', await create(stripe, event.body));
  } catch (error) {
    const { status = 503, code = 'unavailable' } = error instanceof Refused ? error : {};
    console.error(JSON.stringify({ level: 'WARN', code, id: randomUUID(), message: String(error.message) }));
    return respond(status, 'application/problem+json', { status, code, detail: code });
  }
}

// What the managed runtime does.

const agent = new http.Agent({ keepAlive: true });
const [host, port] = AWS_LAMBDA_RUNTIME_API.split(':');

function runtimeApi(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const request = http.request({ agent, host, port, method, headers, path: `/2018-06-01/runtime${path}` });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.end(body);
  });
}

async function main() {
  const warm = new GetItemCommand({
    TableName: TABLE_NAME,
    Key: { pk: text('SETTINGS'), sk: text('SETTINGS') },
    ConsistentRead: true,
  });
  // Opens the connections before the first event; what fails here fails there.
  const [stripe] = await Promise.all([stripeClient(), dynamodb.send(warm).catch(() => {})]);
  await stripe.rawRequest('GET', '/healthcheck').catch(() => {});
  for (;;) {
    const { headers, body } = await runtimeApi('GET', '/invocation/next');
    const answer = JSON.stringify(await handle(stripe, JSON.parse(body)));
    await runtimeApi('POST', `/invocation/${headers['lambda-runtime-aws-request-id']}/response`, answer);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

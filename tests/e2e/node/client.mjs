// One behaviour of the official Node client against a gateway: node client.mjs BASE_URL BEHAVIOUR
// Prints what it saw as one line of JSON; test_node_client.py judges it.

import OpenAI from 'openai';

const [baseURL, behaviour] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0, timeout: 15000 });
const messages = [{ role: 'user', content: 'how high is the tide' }];
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 200 } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const long = 'simulated-pace-20+words-500'; // ten seconds

// What is left of an error once it is printed.
async function failure(promise) {
  try {
    return { answered: await promise };
  } catch (error) {
    return {
      kind: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
      message: error.message,
      requestID: error.requestID ?? null,
    };
  }
}

async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

const chat = (model, more = {}, options = {}) => client.chat.completions.create({ model, messages, ...more }, options);
const respond = (model, more = {}) => client.responses.create({ model, input: 'how high is the tide', ...more });

const behaviours = {
  async plain() {
    const answer = await chat('simulated', { n: 2 });
    return { texts: answer.choices.map((choice) => choice.message.content), usage: answer.usage, id: answer._request_id };
  },

  async streaming() {
    const chunks = await all(chat('simulated', { n: 2, stream: true, stream_options: { include_usage: true } }));
    const texts = ['', ''];
    for (const { choices } of chunks) for (const { index, delta } of choices) texts[index] += delta.content ?? '';
    return { texts, usage: chunks.at(-1).usage };
  },

  async tools() {
    const tools = [{ type: 'function', function: { name: 'tide', parameters } }];
    const plain = await chat('m', { tools });
    const final = await client.chat.completions.stream({ model: 'm', messages, tools }).finalChatCompletion();
    return [plain, final].map(({ choices: [{ message }] }) => message.tool_calls[0].function.arguments);
  },

  async others() {
    const [{ embedding }] = (await client.embeddings.create({ model: 'm', input: 'high' })).data;
    const pieces = await all(client.completions.create({ model: 'simulated', prompt: 'high', max_tokens: 3, stream: true }));
    const models = await all(client.models.list());
    return {
      norm: Math.hypot(...embedding),
      text: pieces.map(({ choices }) => choices[0]?.text ?? '').join(''),
      models: models.map(({ id }) => id),
    };
  },

  async responses() {
    const plain = await respond('simulated');
    const events = await all(respond('simulated', { stream: true }));
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta);
    return { plain: plain.output_text, streamed: deltas.join(''), last: events.at(-1).type };
  },

  async responsesTools() {
    const tools = [{ type: 'function', name: 'tide', parameters, strict: true }];
    const plain = await respond('simulated', { tools });
    const events = await all(respond('simulated', { tools, stream: true }));
    const done = events.find(({ type }) => type === 'response.function_call_arguments.done');
    return [plain.output[0].arguments, done.arguments];
  },

  async errors() {
    const statuses = [400, 401, 403, 404, 429, 500, 503, 529];
    return Promise.all(statuses.map((status) => failure(chat(`simulated-status-${status}`))));
  },

  async refusals() {
    return Promise.all([failure(chat('')), failure(client.get('/files')), failure(chat('m', { n: 0 }, { maxRetries: 2 }))]);
  },

  async retries() {
    const start = performance.now();
    const error = await failure(chat('simulated-status-429', {}, { maxRetries: 1 }));
    return { error, waited: performance.now() - start };
  },

  async broken() {
    const error = await failure(chat('simulated-close-1', {}, { maxRetries: 1 }));
    const streams = ['stall-3', 'close-3', 'reset-3', 'huge-line', 'error-3'].flatMap((fault) => [
      failure(all(chat(`simulated-pace-30+${fault}`, { stream: true }))),
      failure(all(respond(`simulated-pace-30+${fault}`, { stream: true }))),
    ]);
    return { error, streams: (await Promise.all(streams)).map((each) => each.code ?? each.kind ?? each.answered.at(-1).type) };
  },

  async timeout() {
    const plain = await failure(chat('simulated-no-head', {}, { timeout: 400 }));
    return { plain, after: (await chat('simulated')).choices.length };
  },

  async abort() {
    const stream = await chat(long, { stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) stream.controller.abort();
    return { seen };
  },

  async leave() {
    let seen = 0;
    for await (const _ of await respond(long, { stream: true })) if (++seen === 6) break;
    return { seen };
  },
};

console.log(JSON.stringify(await behaviours[behaviour]()));

// What the official Node clients make of refusals: node told.mjs BASE_URL CLIENT CASE...
// Prints one line of JSON with what became of each case; test_told.py judges it.

import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';

const [url, name, ...cases] = process.argv.slice(2);
const options = { apiKey: 'any', timeout: 15000 }; // and as many retries as the client makes by itself
const messages = [{ role: 'user', content: 'how high is the tide' }];
const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
const anthropic = new Anthropic({ ...options, baseURL: url });

async function ask(model) {
  const stream = model.startsWith('stream_');
  const asked =
    name === 'openai'
      ? await openai.chat.completions.create({ model, messages, stream })
      : await anthropic.messages.create({ model, messages, max_tokens: 9, stream });
  if (!stream) return asked;
  for await (const _ of asked);
  return asked;
}

async function outcome(model) {
  try {
    const { id } = await ask(model);
    return { answered: id };
  } catch (error) {
    const told = name === 'openai' ? error.error : error.error?.error;
    return { kind: error.constructor.name, status: error.status ?? null, told, rule: error.headers?.get('x-tidegate-rule') ?? null };
  }
}

console.log(JSON.stringify(Object.fromEntries(await Promise.all(cases.map(async (each) => [each, await outcome(each)])))));

// What the official Node clients make of a governed gateway: node governed.mjs BASE_URL CLIENT CASES
// CASES is JSON: [{tag, model, stream, first}, ...]. Prints one line of JSON with what became of each, and of how many
// calls; test_governed_clients.py judges it.

import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';

const [url, name, cases] = process.argv.slice(2);
const messages = [{ role: 'user', content: 'how high is the tide' }];

async function outcome({ tag, model, stream, first }) {
  let calls = 0;
  const options = {
    apiKey: 'any',
    timeout: 30000,
    defaultHeaders: { 'x-tidegate-tags': tag, 'x-session-id': `node-${name}-${tag}-${stream}` },
    fetch: (...asked) => (calls++, fetch(...asked)),
  };
  const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
  const anthropic = new Anthropic({ ...options, baseURL: url });
  const ask = () =>
    name === 'openai'
      ? openai.chat.completions.create({ model, messages, stream })
      : anthropic.messages.create({ model, messages, max_tokens: 60, stream });
  try {
    if (first) await ask();
    calls = 0;
    const answer = await ask();
    if (!stream) return { calls, answered: answer.id };
    let finish = null;
    for await (const event of answer) finish = event.choices?.[0]?.finish_reason ?? event.delta?.stop_reason ?? finish;
    return { calls, finish };
  } catch (error) {
    const told = name === 'openai' ? error.error : error.error?.error;
    return { calls, kind: error.constructor.name, status: error.status ?? null, told: told ?? error.message };
  }
}

console.log(JSON.stringify(await Promise.all(JSON.parse(cases).map(outcome))));

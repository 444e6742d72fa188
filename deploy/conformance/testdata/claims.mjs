// What the scripts of the pages share: each claim is made once, and all are told to the test.
const query = new URLSearchParams(location.search);
export const gateway = query.get('gateway');
export const bearer = { Authorization: `Bearer ${query.get('token')}` };
const results = [];

export async function claim(text, holds) {
  const result = { claim: text };
  try {
    await holds();
  } catch (error) {
    result.error = `${error}`;
  }
  results.push(result);
}

// done tells the page's own server, which names the next page.
export async function done() {
  const response = await fetch('/results', { method: 'POST', body: JSON.stringify(results) });
  const next = await response.text();
  if (next) location.replace(next);
}

// ask is fetch, within a time limit.
export function ask(path, options = {}) {
  return fetch(gateway + path, { signal: AbortSignal.timeout(20_000), ...options });
}

// blocked makes sure that the page is not even told what became of its request.
export async function blocked(path, options) {
  let response;
  try {
    response = await ask(path, options);
  } catch (error) {
    if (error instanceof TypeError) return;
    throw error;
  }
  throw new Error(`${path} was answered: ${response.type} ${response.status}`);
}

export function equal(got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
}

// A page whose origin is not in cors.origins. The service itself would let it read everything.
import { ask, bearer, blocked, claim, done, equal } from '/claims.mjs';

await claim('a GET without preflight is not read', () => blocked('/open'));
await claim('nor one with cookies', () => blocked('/open', { credentials: 'include' }));
await claim('nor is a refusal', () => blocked('/items'));
await claim('a GET with a token is not sent', () => blocked('/items', { headers: bearer }));
await claim('a PUT is not sent', () => blocked('/any', { method: 'PUT' }));
await claim('what it may send to anybody has an opaque answer', async () => {
  const response = await ask('/open', { mode: 'no-cors' });
  equal([response.type, response.status, await response.text()], ['opaque', 0, '']);
});
await done();

// A page whose origin is in cors.origins.
import { ask, bearer, blocked, claim, done, equal } from '/claims.mjs';

await claim('a GET without preflight is read', async () => {
  const response = await ask('/open');
  equal([response.status, await response.text()], [200, 'GET /open']);
});
await claim('of the fields of the service those of expose are read', async () => {
  const { headers } = await ask('/open');
  equal([headers.get('X-Total-Count'), headers.get('X-Secret')], ['7', null]);
});
await claim('a GET with a token is read', async () => {
  const response = await ask('/items', { headers: bearer });
  equal([response.status, await response.text()], [200, 'GET /items by ann']);
});
for (const method of ['POST', 'PUT']) {
  await claim(`a ${method} of JSON with a token is read`, async () => {
    const response = await ask('/items', { method, headers: { ...bearer, 'Content-Type': 'application/json' }, body: '{}' });
    equal([response.status, await response.text()], [200, `${method} /items by ann`]);
  });
}
await claim('a method of its own below ANY is read', async () => {
  const response = await ask('/any', { method: 'REPORT' });
  equal([response.status, await response.text()], [200, 'REPORT /any']);
});
await claim('cookies may come along', async () => {
  const response = await ask('/open', { credentials: 'include' });
  equal(response.status, 200);
});
await claim('a 401 is read, with its challenge', async () => {
  const response = await ask('/items');
  equal([response.status, await response.json()], [401, { detail: 'Not authenticated' }]);
  equal(response.headers.get('WWW-Authenticate'), 'Bearer realm="shop"');
});
await claim('a 403 is read, with what is missing', async () => {
  const response = await ask('/kept', { headers: { ...bearer, Accept: 'application/problem+json' } });
  const { reason, missing } = await response.json();
  equal([response.status, reason, missing], [403, 'insufficient_scope', ['shop.keep']]);
  equal(response.headers.get('X-Request-Id').length > 0, true);
});
await claim('a 404 is read where no preflight was needed', async () => {
  const response = await ask('/nowhere');
  equal([response.status, await response.json()], [404, { detail: 'Not Found' }]);
});
await claim('a 502 is read', async () => {
  const response = await ask('/broken');
  equal([response.status, await response.json()], [502, { detail: 'Bad Gateway' }]);
});
await claim('a path without a route has no preflight', () => blocked('/nowhere', { headers: bearer }));
await claim('a method that the route lacks is not sent', () => blocked('/items', { method: 'DELETE', headers: bearer }));
await claim('a method in lower case is not sent', () => blocked('/any', { method: 'patch' }));
await claim('a field that is not in headers is not sent', () => blocked('/items', { headers: { ...bearer, 'X-Other': '1' } }));
await done();

// Node's own clients, before the gateway: fetch, http2 and WebSocket. It prints one line for
// each claim that held, and ends with an error at the first that did not.
//
//     node client.mjs BASE TOKEN CA
//
// BASE is the gateway's URL, CA the file with its certificate, or nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { createRequire } from 'node:module';

const [base, token, ca] = process.argv.slice(2);
const allowed = { authorization: `Bearer ${token}` };
const large = Buffer.alloc(2 << 20, 'an upload of two mebibytes. ');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function claim(text, holds) {
  await holds();
  console.log(`ok ${text}`);
}

async function json(response, status = 200) {
  assert.equal(response.status, status);
  return response.json();
}

await claim('fetch: GET', async () => {
  const told = await json(await fetch(`${base}/told?a=b%20c&a=d`, { headers: allowed }));
  assert.deepEqual([told.method, told.query, told.subject, told.hidden], ['GET', 'a=b%20c&a=d', 'ann', []]);
});
await claim('fetch: HEAD', async () => {
  const response = await fetch(`${base}/told`, { method: 'HEAD', headers: allowed });
  assert.equal(response.status, 200);
  assert.ok(Number(response.headers.get('content-length')) > 0);
  assert.equal(await response.text(), '');
});
await claim('fetch: POST with a length', async () => {
  const told = await json(await fetch(`${base}/told`, { method: 'POST', headers: allowed, body: large }));
  assert.deepEqual([told.size, told.sha256], [large.length, sha256(large)]);
});
await claim('fetch: POST in chunks', async () => {
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < large.length; at += 50_000) controller.enqueue(large.subarray(at, at + 50_000));
      controller.close();
    },
  });
  const told = await json(await fetch(`${base}/told`, { method: 'POST', headers: allowed, body, duplex: 'half' }));
  assert.deepEqual([told.size, told.sha256], [large.length, sha256(large)]);
});
await claim('fetch: FormData', async () => {
  const form = new FormData();
  form.append('file', new Blob([large]), 'upload.bin');
  const told = await json(await fetch(`${base}/told`, { method: 'POST', headers: allowed, body: form }));
  assert.ok(told.size > large.length);
});
await claim('fetch: a large answer, and one that is left in the middle', async () => {
  const whole = await (await fetch(`${base}/large`, { headers: allowed })).arrayBuffer();
  assert.equal(whole.byteLength, 2 << 20);
  const control = new AbortController();
  const response = await fetch(`${base}/large`, { headers: allowed, signal: control.signal });
  const reader = response.body.getReader();
  await reader.read();
  control.abort();
  await assert.rejects(async () => { while (!(await reader.read()).done); });
});
await claim('fetch: refusals', async () => {
  assert.deepEqual(await json(await fetch(`${base}/told`), 401), { detail: 'Not authenticated' });
  assert.deepEqual(await json(await fetch(`${base}/kept`, { headers: allowed }), 403), { detail: 'Not enough permissions' });
  assert.deepEqual(await json(await fetch(`${base}/none`, { headers: allowed }), 404), { detail: 'Not Found' });
  assert.deepEqual(await json(await fetch(`${base}/told`, { method: 'DELETE', headers: allowed }), 405), { detail: 'Method Not Allowed' });
  const posted = await fetch(`${base}/told`, { method: 'POST', body: 'a form that is refused' });
  assert.deepEqual(await json(posted, 401), { detail: 'Not authenticated' });
});
await claim('fetch: 500 requests, 50 at once', async () => {
  await Promise.all(Array.from({ length: 50 }, async (_, worker) => {
    for (let i = 0; i < 10; i++) {
      const body = `worker ${worker}, request ${i}`;
      const told = await json(await fetch(`${base}/told`, { method: 'POST', headers: allowed, body }));
      assert.equal(told.sha256, sha256(body));
    }
  }));
});

// ask sends one request on a session and resolves to its head and its body.
function ask(session, head, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request(head, { endStream: body === undefined });
    const chunks = [];
    let answered;
    stream.on('response', (fields) => { answered = fields; });
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => resolve([answered, Buffer.concat(chunks)]));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

const session = http2.connect(base, ca ? { ca: readFileSync(ca) } : {});
await claim('http2: 300 requests, 100 streams at once', async () => {
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const [head, body] = await ask(session, { ':path': `/told?stream=${i}`, ...allowed });
      assert.deepEqual([head[':status'], JSON.parse(body).query], [200, `stream=${i}`]);
    }));
  }
});
await claim('http2: POST', async () => {
  const [head, body] = await ask(session, { ':method': 'POST', ':path': '/told', ...allowed }, large);
  assert.deepEqual([head[':status'], JSON.parse(body).sha256], [200, sha256(large)]);
});
await claim('http2: a large answer', async () => {
  const [head, body] = await ask(session, { ':path': '/large', ...allowed });
  assert.deepEqual([head[':status'], body.length], [200, 2 << 20]);
});
await claim('http2: refusals leave the session usable', async () => {
  const [head] = await ask(session, { ':path': '/told' });
  assert.equal(head[':status'], 401);
  const [posted] = await ask(session, { ':method': 'POST', ':path': '/told' }, 'refused');
  assert.equal(posted[':status'], 401);
  const [after] = await ask(session, { ':path': '/told', ...allowed });
  assert.equal(after[':status'], 200);
});
await claim('http2: a WebSocket by extended CONNECT', async () => {
  if (!session.remoteSettings.enableConnectProtocol) await new Promise((resolve) => session.once('remoteSettings', resolve));
  assert.equal(session.remoteSettings.enableConnectProtocol, true);
  const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/closed-socket', 'sec-websocket-version': '13', ...allowed });
  const head = await new Promise((resolve, reject) => stream.on('response', resolve).on('error', reject));
  assert.equal(head[':status'], 200);
  stream.write(Buffer.from('818537fa213d7f9f4d5158', 'hex')); // RFC 6455 section 5.7: a masked Hello
  const echoed = await new Promise((resolve) => stream.once('data', resolve));
  assert.equal(echoed.toString('latin1'), '\x81\x05Hello');
  stream.close();
});
await new Promise((resolve) => session.close(resolve));

// Node has a WebSocket client from 20 on (with --experimental-websocket, later without);
// before, the one of Debian's package node-ws stands in.
const WebSocket = globalThis.WebSocket ?? createRequire(import.meta.url)('/usr/share/nodejs/ws');
const connect = (path, headers) => (globalThis.WebSocket
  ? new WebSocket(base.replace('http', 'ws') + path, { headers })
  : new WebSocket(base.replace('http', 'ws') + path, [], { headers }));

// converse opens a socket, sends the messages in bursts of ten, and holds each answer to what
// was sent, in order. It resolves to the code that the socket closed with.
function converse(path, headers, messages) {
  return new Promise((resolve, reject) => {
    const socket = connect(path, headers);
    let sent = 0, got = 0;
    const burst = () => {
      for (const end = Math.min(sent + 10, messages.length); sent < end; sent++) socket.send(messages[sent]);
    };
    socket.onopen = burst;
    socket.onerror = (event) => reject(event.error ?? new Error(`${path}: ${event.message ?? 'refused'}`));
    socket.onmessage = (event) => {
      if (event.data !== messages[got]) {
        reject(new Error(`message ${got} came back as another one`));
        return;
      }
      got++;
      if (got === messages.length) socket.close(1000, 'done');
      else if (got === sent) burst();
    };
    socket.onclose = (event) => (got === messages.length ? resolve(event.code) : reject(new Error(`closed after ${got} messages: ${event.code}`)));
  });
}

await claim('WebSocket: 50 sockets, 200 messages each', async () => {
  const codes = await Promise.all(Array.from({ length: 50 }, (_, socket) => converse('/socket', {},
    Array.from({ length: 200 }, (_, i) => `socket ${socket}, message ${i} ${'ä'.repeat((i * 37) % 600)}`))));
  assert.deepEqual(codes, Array(50).fill(1000));
});
await claim('WebSocket: messages of every length of a length', async () => {
  const messages = [0, 1, 125, 126, 127, 65_535, 65_536, 300_000].map((n) => 'x'.repeat(n));
  assert.equal(await converse('/socket', {}, messages), 1000);
});
await claim('WebSocket: a token opens what is closed without', async () => {
  assert.equal(await converse('/closed-socket', allowed, ['let in']), 1000);
  await assert.rejects(converse('/closed-socket', {}, ['not let in']));
  await assert.rejects(converse('/told', allowed, ['not a socket']));
});

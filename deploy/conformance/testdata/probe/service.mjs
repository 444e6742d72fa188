// Two services as people write them on Node's own http module: by the WHATWG URL, and by hand
// without regard to case and with decoding, as many routers do.
import { createServer } from 'node:http'

const pages = { '/reports/': { reports: [1, 2] }, '/admin/users': { users: ['ann'] } }

const readers = {
  url: (target) => new URL(target, 'http://localhost').pathname,
  loose: (target) => {
    const path = decodeURIComponent(target.split(/[?;]/)[0]).toLowerCase()
    return path === '/reports' ? '/reports/' : path.replace(/(?<=.)\/$/, (s) => (path === '/reports/' ? s : ''))
  },
}

const read = readers[process.argv[2]]
const server = createServer((req, res) => {
  let page
  try {
    page = pages[read(req.url)]
  } catch {
    res.writeHead(400).end()
    return
  }
  res.writeHead(page ? 200 : 404, { 'content-type': 'application/json' })
  res.end(JSON.stringify(page ?? { error: `no ${req.url}` }))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))

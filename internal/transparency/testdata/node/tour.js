// What an application does with ioredis and node-redis, through the proxy at argv[2] (host:port). The script says "kill" on its
// standard output when the master may be killed, and goes on when it reads "killed". It ends with status 0 if all
// was as with a server.
'use strict';
const assert = require('node:assert');
const readline = require('node:readline');
const Redis = require('ioredis');
const { createClient } = require('redis');

const [host, port] = process.argv[2].split(':');
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const isUnknown = (err) => String(err.message).startsWith('UNKNOWNRESULT');

async function ioredisTour(db) {
  await db.flushdb();
  assert.equal(await db.set('a', '1', 'EX', 100), 'OK');
  assert.equal(await db.get('a'), '1');
  assert.equal(await db.get('nope'), null);
  assert.deepEqual(await db.getBuffer('a'), Buffer.from('1'));
  await db.hset('h', { f: 'v', n: 3 });
  assert.deepEqual(await db.hgetall('h'), { f: 'v', n: '3' });

  const pipeline = db.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`key:${i}`, i).incr('n');
  const results = await pipeline.exec();
  assert.equal(results.length, 1000);
  assert.deepEqual(results[999], [null, 500]);

  assert.deepEqual(await db.multi().incr('n').get('n').exec(), [[null, 501], [null, '501']]);
  await db.multi({ pipeline: false });
  assert.equal(await db.incr('n'), 'QUEUED');
  assert.deepEqual(await db.exec(), [[null, 502]]);

  const other = db.duplicate();
  await db.watch('n');
  await other.incr('n');
  assert.equal(await db.multi().incr('n').exec(), null);

  const found = new Set();
  for await (const keys of db.scanStream({ match: 'key:*', count: 50 })) keys.forEach((k) => found.add(k));
  assert.equal(found.size, 500);

  db.defineCommand('add', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  assert.equal(await db.add('scripted', 5), 5);
  assert.equal(await db.add('scripted', 5), 10);

  const popped = db.blpop('queue', 10);
  await other.rpush('queue', 'job');
  assert.deepEqual(await popped, ['queue', 'job']);

  const sub = db.duplicate();
  const message = new Promise((resolve) => sub.on('message', (channel, text) => resolve([channel, text])));
  const matched = new Promise((resolve) => sub.on('pmessage', (pattern, channel, text) => resolve([pattern, channel, text])));
  assert.equal(await sub.subscribe('ch'), 1);
  assert.equal(await sub.psubscribe('p*'), 2);
  await other.publish('ch', 'hello');
  await other.publish('pattern', 'hi');
  assert.deepEqual(await message, ['ch', 'hello']);
  assert.deepEqual(await matched, ['p*', 'pattern', 'hi']);
  assert.equal(await sub.unsubscribe('ch'), 1);
  assert.equal(await sub.punsubscribe('p*'), 0);
  assert.equal(await sub.set('after', 'x'), 'OK');

  await db.select(2);
  await db.set('elsewhere', 'x');
  await db.select(1);
  assert.equal(await db.exists('elsewhere'), 0);
  const status = await db.info('replication');
  assert.match(status, /role:master/);
  await Promise.all([other.quit(), sub.quit()]);
}

async function nodeRedisTour(RESP) {
  const db = await createClient({ RESP, database: 1, socket: { host, port: Number(port), reconnectStrategy: false } }).on('error', (err) => { throw err; }).connect();
  await db.set('b', '2');
  assert.equal(await db.get('b'), '2');
  assert.deepEqual(await db.multi().incr('b').get('b').exec(), [3, '3']);
  const sub = await db.duplicate().connect();
  const message = new Promise((resolve) => { sub.subscribe('node', resolve).then(() => db.publish('node', 'hello')); });
  assert.equal(await message, 'hello');
  await sub.unsubscribe('node');
  assert.equal(await sub.get('b'), '3');
  await sub.close();
  await db.close();
}

async function acrossAFailover(db) {
  await db.set('fixed', 'value');
  await db.wait(2, 5000);
  const sub = db.duplicate();
  await sub.subscribe('news');
  let stop = false;
  const done = [0, 0, 0, 0];
  const workers = done.map(async (_, w) => {
    const c = db.duplicate();
    c.on('close', () => assert.ok(stop, 'a connection was closed'));
    await c.set(`count:${w}`, 0);
    let acked = 0;
    let unknown = 0;
    while (!stop) {
      try {
        await c.incr(`count:${w}`);
        acked++;
      } catch (err) {
        if (!isUnknown(err)) throw err;
        unknown++;
      }
      assert.equal(await c.get('fixed'), 'value');
      done[w]++;
    }
    const n = Number(await c.get(`count:${w}`));
    assert.ok(n <= acked + unknown, `${n} after ${acked} and ${unknown}`);
    await c.quit();
  });
  const more = async (n) => {
    const goal = done.map((k) => k + n);
    while (done.some((k, w) => k < goal[w])) await Promise.race([...workers, new Promise((resolve) => setImmediate(resolve))]);
  };
  await more(50);
  console.log('kill');
  assert.equal((await lines.next()).value, 'killed');
  await more(50);
  stop = true;
  await Promise.all(workers);
  const message = new Promise((resolve) => sub.on('message', (_, text) => resolve(text)));
  while (await db.publish('news', 'after') === 0);
  assert.equal(await message, 'after');
  await sub.quit();
}

(async () => {
  const db = new Redis({ host, port: Number(port), db: 1, connectionName: 'app', retryStrategy: null, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false });
  await ioredisTour(db);
  await nodeRedisTour(2);
  await nodeRedisTour(3);
  await acrossAFailover(db);
  await ioredisTour(db);
  await nodeRedisTour(3);
  await db.quit();
  process.exit(0);
})().catch((err) => {
  console.error(err);
  process.exit(1);
});

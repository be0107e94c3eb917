// What an application does with BullMQ, through the proxy at argv[2] (host:port). The script says "kill" on its standard
// output when the master may be killed, and goes on when it reads "killed". It ends with status 0 if all was as with a
// server.
'use strict';
const assert = require('node:assert');
const readline = require('node:readline');
const { Queue, Worker, QueueEvents, FlowProducer, Job, UnrecoverableError } = require('bullmq');

const [host, port] = process.argv[2].split(':');
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

// within bounds what would else wait for ever; it says what did not come.
function within(what, promise, ms = 30000) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// until asks again and again until the answer is true.
async function until(what, ask) {
  let given = false;
  await within(what, (async () => {
    while (!given && !(await ask())) await new Promise((resolve) => setTimeout(resolve, 5));
  })()).finally(() => { given = true; });
}

// bench gives a test a queue, its events, and workers, and closes them all.
async function bench(name, test) {
  const open = [];
  const kept = (thing) => { thing.on('error', (err) => { throw err; }); open.unshift(thing); return thing; };
  const queue = kept(new Queue(name, { connection }));
  await queue.obliterate({ force: true });
  const events = kept(new QueueEvents(name, { connection, lastEventId: '0-0' }));
  await events.waitUntilReady();
  const worker = (processor, opts = {}) => kept(new Worker(name, processor, { connection, ...opts }));
  await test({ queue, events, worker, kept });
  await Promise.all(open.map((thing) => thing.close()));
}

const tests = {
  async 'jobs are worked on, report and return'({ queue, events, worker }) {
    const progress = new Promise((resolve) => events.on('progress', ({ data }) => resolve(data)));
    worker(async (job) => {
      await job.log('begun');
      await job.updateData({ ...job.data, seen: true });
      await job.updateProgress({ half: 50 });
      if (job.name === 'bad') throw new UnrecoverableError('no good');
      return job.data.n * 2;
    });
    const job = await queue.add('good', { n: 21 });
    assert.equal(await within('the result', job.waitUntilFinished(events)), 42);
    assert.deepEqual(await within('the progress', progress), { half: 50 });
    assert.equal((await queue.getJobLogs(job.id)).logs[0], 'begun');
    const again = await Job.fromId(queue, job.id);
    assert.equal(again.returnvalue, 42);
    assert.equal(again.data.seen, true);
    assert.equal(await again.getState(), 'completed');
    const bad = await queue.add('bad', {});
    await assert.rejects(within('the failure', bad.waitUntilFinished(events)), /no good/);
    assert.deepEqual(await queue.getJobCounts('completed', 'failed', 'wait'), { completed: 1, failed: 1, wait: 0 });
    assert.equal((await queue.getFailed())[0].failedReason, 'no good');
    assert.equal((await queue.clean(0, 10, 'failed')).length, 1);
  },

  async 'many jobs are added at once and all done'({ queue, worker }) {
    const done = new Set();
    worker(async (job) => { done.add(job.data.n); }, { concurrency: 10 });
    await queue.addBulk(Array.from({ length: 300 }, (_, n) => ({ name: 'bulk', data: { n } })));
    await until('300 jobs', () => done.size === 300);
    await until('none left', async () => (await queue.getJobCountByTypes('wait', 'active')) === 0);
    assert.equal(await queue.getCompletedCount(), 300);
  },

  async 'delayed jobs wait for their time, and are promoted'({ queue, events, worker }) {
    const order = [];
    worker(async (job) => { order.push(job.name); });
    const late = await queue.add('late', {}, { delay: 3600000 });
    const soon = await queue.add('soon', {}, { delay: 300 });
    const first = await queue.add('first', {});
    await within('the delayed job', soon.waitUntilFinished(events));
    assert.deepEqual(order, ['first', 'soon']);
    assert.equal(await late.getState(), 'delayed');
    assert.ok(Date.now() - soon.timestamp >= 300);
    await late.promote();
    await within('the promoted job', late.waitUntilFinished(events));
    assert.equal(await first.getState(), 'completed');
  },

  async 'priorities decide, and change'({ queue, worker }) {
    const order = [];
    await queue.add('c', {}, { priority: 30 });
    await queue.add('b', {}, { priority: 20 });
    const a = await queue.add('a', {}, { priority: 40 });
    await queue.add('none', {});
    await a.changePriority({ priority: 10 });
    assert.deepEqual(await queue.getCountsPerPriority([0, 10, 20, 30]), { 0: 1, 10: 1, 20: 1, 30: 1 });
    worker(async (job) => { order.push(job.name); });
    await until('four jobs', () => order.length === 4);
    assert.deepEqual(order, ['none', 'a', 'b', 'c']);
  },

  async 'failed jobs are tried again after a while'({ queue, events, worker }) {
    worker(async (job) => {
      if (job.attemptsMade < 2) throw new Error('not yet');
      return job.attemptsMade;
    });
    const job = await queue.add('retry', {}, { attempts: 3, backoff: { type: 'exponential', delay: 20 } });
    assert.equal(await within('the third attempt', job.waitUntilFinished(events)), 2);
  },

  async 'a parent waits for its children'({ queue, events, worker, kept }) {
    worker(async (job) => (job.name === 'parent' ? Object.values(await job.getChildrenValues()).sort() : job.data.n), { concurrency: 3 });
    const flow = kept(new FlowProducer({ connection }));
    const tree = await flow.add({
      name: 'parent', queueName: queue.name,
      children: [1, 2, 3].map((n) => ({ name: 'child', queueName: queue.name, data: { n } })),
    });
    assert.deepEqual(await within('the parent', tree.job.waitUntilFinished(events)), [1, 2, 3]);
    const found = await flow.getFlow({ id: tree.job.id, queueName: queue.name });
    assert.equal(found.children.length, 3);
  },

  async 'a rate is kept'({ queue, worker }) {
    const times = [];
    worker(async () => { times.push(Date.now()); }, { limiter: { max: 2, duration: 300 }, concurrency: 10 });
    await queue.addBulk(Array.from({ length: 6 }, () => ({ name: 'limited', data: {} })));
    await until('six jobs', () => times.length === 6);
    assert.ok(times[5] - times[0] >= 500, `six jobs within ${times[5] - times[0]} ms`);
  },

  async 'a job whose worker is gone is stalled and done by another'({ queue, events, worker, kept }) {
    const stalled = new Promise((resolve) => events.on('stalled', ({ jobId }) => resolve(jobId)));
    let begun;
    const started = new Promise((resolve) => { begun = resolve; });
    const lost = kept(new Worker(queue.name, () => new Promise(begun), { connection, lockDuration: 200, lockRenewTime: 100000, skipStalledCheck: true }));
    const job = await queue.add('orphan', {});
    await within('the first worker', started);
    await lost.close(true);
    worker(async () => 'rescued', { stalledInterval: 100, lockDuration: 1000 });
    assert.equal(await within('the second worker', job.waitUntilFinished(events)), 'rescued');
    assert.equal(await within('the event', stalled), job.id);
  },

  async 'a paused queue rests'({ queue, events, worker }) {
    const paused = new Promise((resolve) => events.on('paused', resolve));
    const resumed = new Promise((resolve) => events.on('resumed', resolve));
    await queue.pause();
    await within('the event', paused);
    let done = 0;
    const w = worker(async () => { done++; });
    await w.waitUntilReady();
    const job = await queue.add('later', {});
    assert.equal(await queue.isPaused(), true);
    assert.equal(done, 0);
    await queue.resume();
    await within('the event', resumed);
    await within('the job', job.waitUntilFinished(events));
    await w.pause();
    w.resume();
    await within('another', (await queue.add('more', {})).waitUntilFinished(events));
    assert.equal(done, 2);
  },

  async 'schedulers make jobs again and again'({ queue, worker }) {
    let ticks = 0;
    worker(async (job) => { assert.deepEqual(job.data, { tick: true }); ticks++; });
    await queue.upsertJobScheduler('clock', { every: 60 }, { name: 'tick', data: { tick: true } });
    await queue.upsertJobScheduler('night', { pattern: '0 3 * * *' }, { name: 'night' });
    await until('three ticks', () => ticks >= 3);
    assert.equal(await queue.getJobSchedulersCount(), 2);
    assert.equal((await queue.getJobScheduler('clock')).every, 60);
    assert.equal(await queue.removeJobScheduler('clock'), true);
    assert.deepEqual((await queue.getJobSchedulers()).map((s) => s.key), ['night']);
  },

  async 'the same job is not added twice'({ queue, worker }) {
    const [a, b] = [await queue.add('once', {}, { jobId: 'one' }), await queue.add('once', {}, { jobId: 'one' })];
    assert.equal(a.id, b.id);
    const c = await queue.add('dedup', {}, { deduplication: { id: 'same', ttl: 60000 } });
    const d = await queue.add('dedup', {}, { deduplication: { id: 'same', ttl: 60000 } });
    assert.equal(c.id, d.id);
    assert.equal(await queue.getWaitingCount(), 2);
    const w = worker(async () => {});
    await until('the workers', async () => (await queue.getWorkers()).length === 1);
    await until('none left', async () => (await queue.getJobCountByTypes('wait', 'active')) === 0);
    await w.close();
    await queue.drain();
    await queue.obliterate({ force: true });
    assert.equal(await queue.count(), 0);
  },
};

// acrossAFailover adds and works on jobs while the master dies. Every job that was added is completed. None is worked on
// again but for a reason that BullMQ has itself: the job is stalled, or a step of its worker was answered UNKNOWNRESULT, which
// counts as a failed attempt.
async function acrossAFailover() {
  const refused = [];
  const patient = (thing) => { thing.on('error', (err) => refused.push(err)); return thing; };
  const queue = patient(new Queue('failover', { connection }));
  await queue.obliterate({ force: true });
  const events = patient(new QueueEvents('failover', { connection, lastEventId: '0-0' }));
  await events.waitUntilReady();
  let stalled = 0;
  const completed = new Set();
  events.on('stalled', () => { stalled++; });
  events.on('completed', ({ jobId }) => completed.add(jobId));
  const runs = new Map();
  const workers = [0, 1, 2].map(() => patient(new Worker('failover', async (job) => {
    runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
  }, { connection, concurrency: 5, lockDuration: 1000, stalledInterval: 300, maxStalledCount: 100, runRetryDelay: 20 })));
  for (const w of workers) w.on('failed', (_, err) => refused.push(err));

  let [stop, added, unknown] = [false, 0, 0];
  const producers = [0, 1].map(async (p) => {
    for (let n = 0; !stop; n++) {
      const job = { jobId: `job-${p}-${n}`, attempts: 5 };
      const opts = n % 5 === 1 ? { ...job, delay: 50 } : n % 5 === 2 ? { ...job, priority: 1 + n % 7 } : job;
      for (let sent = false; !sent;) {
        try {
          await queue.add('work', { n }, opts);
          sent = true;
        } catch (err) { // it may have been added: to add it again under the same id is what BullMQ has ids for
          assert.match(err.message, /UNKNOWNRESULT/);
          unknown++;
        }
      }
      added++;
    }
  });
  const more = (n) => { const goal = added + n; return until(`${n} more jobs`, () => added >= goal); };
  await more(100);
  console.log('kill');
  assert.equal((await lines.next()).value, 'killed');
  await more(100);
  stop = true;
  await within('the producers', Promise.all(producers));
  await until('all jobs', async () => (await queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized')) === 0);
  assert.deepEqual((await queue.getFailed()).map((job) => job.failedReason), []);
  assert.equal(await queue.getCompletedCount(), added);
  await until('all events', () => completed.size === added);
  assert.equal(runs.size, added);
  const again = [...runs.values()].reduce((sum, n) => sum + n - 1, 0);
  console.log(`${added} jobs, ${again} worked on again: ${stalled} stalled; unknown: ${unknown} additions, ${refused.length} steps of workers`);
  assert.ok(again <= stalled + refused.length, 'a job was worked on again for no reason');
  for (const err of refused) assert.match(err.message, /UNKNOWNRESULT|Missing lock for job/); // a step that was taken, and is repeated, finds no lock
  await Promise.all([...workers, events, queue].map((thing) => thing.close()));
}

async function tour() {
  for (const [name, test] of Object.entries(tests)) {
    const begun = Date.now();
    await bench(`tour-${name.replace(/[^a-z]+/g, '-')}`, test).catch((err) => { throw new Error(`${name}: ${err.stack}`); });
    console.log(`ok ${name} (${Date.now() - begun} ms)`);
  }
}

(async () => {
  await tour();
  if (process.argv[3] !== 'steady') {
    await acrossAFailover();
    await tour();
  }
  process.exit(0);
})().catch((err) => {
  console.error(err);
  process.exit(1);
});

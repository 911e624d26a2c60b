/** OPA's decision log API against a real server, well and ill. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CollectorOptions, CollectorSink } from '../../../src/edges/telemetry/collector-sink.ts';
import { createCollectorSink } from '../../../src/edges/telemetry/collector-sink.ts';
import type { Mood } from '../../support/collector.ts';
import { Collector } from '../../support/collector.ts';

let collector: Collector;
let sink: CollectorSink;
let problems: string[];

beforeEach(async () => {
  collector = await Collector.open();
  problems = [];
});

afterEach(async () => {
  await sink.close();
  await collector.close();
});

function create(over: Partial<CollectorOptions> = {}): CollectorSink {
  sink = createCollectorSink({
    url: collector.url,
    tokenFile: undefined,
    paceMs: 0,
    answerMs: 10_000,
    retryMs: 5,
    retryMsMax: 20,
    onProblem: (detail) => problems.push(detail),
    ...over,
  });
  return sink;
}

/** What became of it: undefined when it was taken. */
function send(text: string): Promise<Error | undefined> {
  const sent = Promise.withResolvers<Error | undefined>();
  sink.write(Buffer.from(text), (error) => sent.resolve(error ?? undefined));
  return sent.promise;
}

describe('a collector', () => {
  it('gets a gzipped JSON array of the lines, with the token that the file has now', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'writ-collector-'));
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, 'first\n');
    create({ tokenFile });
    expect(await send('{"a":1}\n{"b":"x\\ny"}\n')).toBeUndefined();
    await writeFile(tokenFile, 'second\n');
    expect(await send('{"c":3}\n')).toBeUndefined();
    expect(collector.events).toEqual([{ a: 1 }, { b: 'x\ny' }, { c: 3 }]);
    expect(collector.uploads.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ['/logs', 'Bearer first'],
      ['/logs', 'Bearer second'],
    ]);
    expect(collector.uploads[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'content-encoding': 'gzip',
    });
    expect(problems).toEqual([]);
    await rm(folder, { recursive: true });
  });

  it.each<[Mood, string]>([
    [500, '500'],
    [429, '429'],
    [401, '401'],
    ['hang', 'TimeoutError'],
    ['reset', 'ECONNRESET'],
    ['redirect', 'Error'],
  ])('that answers %s is asked again until it takes it, and said once', async (mood, detail) => {
    create(mood === 'hang' ? { answerMs: 100 } : {});
    collector.mood = mood;
    const sent = send('{"a":1}\n');
    await collector.asked(3);
    collector.mood = 204;
    expect(await sent).toBeUndefined();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toBe(detail);
    expect(await send('{"b":2}\n')).toBeUndefined();
    expect(problems).toHaveLength(1);
  });

  it.each([400, 413, 422])('that refuses the very bytes with %i gets them no more', async (status) => {
    create();
    collector.mood = status;
    expect(await send('{"a":1}\n')).toBeInstanceOf(Error);
    expect(collector.uploads).toHaveLength(1);
    expect(problems).toEqual([String(status)]);
    collector.mood = 200;
    expect(await send('{"b":2}\n')).toBeUndefined();
  });

  it('that answers without end has answered', async () => {
    create();
    collector.mood = 'endless';
    expect(await send('{"a":1}\n')).toBeUndefined();
  });

  it('that is not there holds nobody up when the process closes', async () => {
    create({ retryMs: 60_000, retryMsMax: 60_000 });
    await collector.close();
    const sent = send('{"a":1}\n');
    await expect.poll(() => problems).toEqual(['ECONNREFUSED']);
    await sink.close();
    expect(await sent).toBeInstanceOf(Error);
    collector = await Collector.open();
  });

  it('that hangs holds nobody up when the process closes', async () => {
    create({ answerMs: 60_000 });
    collector.mood = 'hang';
    const sent = send('{"a":1}\n');
    await collector.asked(1);
    await sink.close();
    expect(await sent).toBeInstanceOf(Error);
  });

  it('is sent to at its pace, and at once when the process closes', async () => {
    create({ paceMs: 60_000 });
    const sent = send('{"a":1}\n');
    await collector.asked(1);
    sink.hurry();
    expect(await sent).toBeUndefined();
  });

  it('gets nothing without its token', async () => {
    create({ tokenFile: '/nowhere/token' });
    const sent = send('{"a":1}\n');
    await expect.poll(() => problems).toEqual(['ENOENT']);
    await sink.close();
    await sent;
    expect(collector.uploads).toEqual([]);
  });
});

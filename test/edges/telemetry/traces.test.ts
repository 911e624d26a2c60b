/** The Tracer against a real collector: headers of the file, what a failure says, what goes out to whom is asked. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { activeTraceIds } from '../../../src/edges/telemetry/active-trace.ts';
import type { Traces } from '../../../src/edges/telemetry/traces.ts';
import { openTraces } from '../../../src/edges/telemetry/traces.ts';
import { WritError } from '../../../src/kernel/error.ts';
import { Collector } from '../../support/collector.ts';

let collector: Collector;
let folder: string;
let said: string[];

beforeEach(async () => {
  collector = await Collector.open();
  folder = await mkdtemp(join(tmpdir(), 'writ-traces-'));
  said = [];
});

afterEach(async () => {
  await collector.close();
  await rm(folder, { recursive: true, force: true });
});

const note = (sentence: string): void => void said.push(sentence);
const log = { info: note, warn: note, error: note };

function open(over: { headersFile?: string; sampling?: number } = {}): Promise<Traces> {
  const config = { url: collector.url, sampling: 1, ...over };
  return openTraces({ config, resource: { 'service.name': 'writ' }, log });
}

function sent(): string {
  return collector.uploads.map(({ body }) => body.toString('utf8')).join('\n');
}

describe('a tracer', () => {
  it('sends the headers that the file has', async () => {
    const headersFile = join(folder, 'headers');
    await writeFile(headersFile, 'x-api-key: secret one\n\nAuthorization:Bearer two\n');
    const traces = await open({ headersFile });
    await traces.span('work', {}, async () => undefined);
    await traces.close();
    expect(collector.uploads[0]?.headers).toMatchObject({
      'x-api-key': 'secret one',
      authorization: 'Bearer two',
    });
    expect(traces.counts).toEqual({ exported: 1, lost: 0 });
  });

  it.each([
    ['is not there', undefined],
    ['has a line that is none', 'x-api-key secret\n'],
    ['has a header with a control character', 'x: a\u0007b\n'],
  ])('does not open when the file %s, and quotes nothing of it', async (_why, text) => {
    const headersFile = join(folder, 'headers');
    if (text !== undefined) await writeFile(headersFile, text);
    const refused = open({ headersFile });
    await expect(refused).rejects.toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', field: 'telemetry.traces.headersFile' }) as Error,
    );
    await expect(refused).rejects.not.toThrow('secret');
  });

  it('says by its code that work failed, and lets the failure through', async () => {
    const traces = await open();
    const secret = new TypeError('canary in a message');
    await expect(traces.span('unforeseen', {}, () => Promise.reject(secret))).rejects.toBe(secret);
    const known = new WritError('STORE_UNREACHABLE', 'canary in a message');
    await expect(traces.span('known', {}, () => Promise.reject(known))).rejects.toBe(known);
    await traces.close();
    expect(sent()).toContain('STORE_UNREACHABLE');
    expect(sent()).toContain('INTERNAL');
    expect(sent()).not.toContain('canary');
  });

  it('carries the trace to whom is asked within it, sampled or not, and nowhere else', async () => {
    const traces = await open();
    expect(traces.headers()).toEqual({});
    await traces.span('outer', {}, async () => {
      const outer = activeTraceIds();
      await traces.span('inner', { kind: 'client' }, async () => {
        const inner = activeTraceIds();
        expect(inner?.traceId).toBe(outer?.traceId);
        expect(inner?.spanId).not.toBe(outer?.spanId);
        expect(traces.headers()).toEqual({
          traceparent: `00-${inner?.traceId ?? ''}-${inner?.spanId ?? ''}-01`,
        });
      });
    });
    expect(activeTraceIds()).toBeUndefined();
    await traces.close();
    const unsampled = await open({ sampling: 0 });
    await unsampled.span('outer', {}, async () => {
      expect(unsampled.headers()['traceparent']).toMatch(/-00$/);
    });
    await unsampled.close();
    expect(unsampled.counts).toEqual({ exported: 0, lost: 0 });
  });

  it('counts what the collector refuses as lost, and says so once', async () => {
    collector.mood = 400;
    const traces = await open();
    await traces.span('work', {}, async () => undefined);
    await traces.close();
    expect(traces.counts).toEqual({ exported: 0, lost: 1 });
    expect(said).toEqual(['the collector of traces does not take them']);
  });
});

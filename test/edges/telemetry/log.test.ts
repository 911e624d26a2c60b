import fc from 'fast-check';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { activeTrace } from '../../../src/edges/telemetry/active-trace.ts';
import type { OpenLog } from '../../../src/edges/telemetry/log.ts';
import { openLog } from '../../../src/edges/telemetry/log.ts';
import { streamSink } from '../../../src/edges/telemetry/sink.ts';
import type { LogFields } from '../../../src/kernel/log.ts';
import { LOG_FIELDS } from '../../../src/kernel/log.ts';

interface Captured extends OpenLog {
  readonly text: () => string;
  readonly lines: () => Record<string, unknown>[];
}

function capture(): Captured {
  let text = '';
  const opened = openLog({
    sink: (chunk, done) => {
      text += Buffer.from(chunk).toString();
      done();
    },
    wallMs: () => 1_790_000_000_123,
  });
  return {
    ...opened,
    text: () => text,
    lines: () =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

/** Fields as they might arrive by way of `unknown`. */
const asFields = (fields: Record<string, unknown>) => fields as LogFields;

describe('a line of the log', () => {
  it('names the trace in which it was written, and none outside of one', () => {
    const { log, lines } = capture();
    const ids = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
    activeTrace.run({ ids: () => ids }, () => log.info('inside'));
    log.info('outside');
    const [inside, outside] = lines();
    expect(inside).toMatchObject({ trace_id: ids.traceId, span_id: ids.spanId, message: 'inside' });
    expect(outside).not.toHaveProperty('trace_id');
  });

  it('is JSON with level, time, the fields and the sentence, and nothing else', () => {
    const { log, text } = capture();
    log.info('revocation appended', { revocation: 'rev_1', position: '1-2', count: 3 });
    log.warn('listener is bare', { listener: 'data' });
    log.error('journal is damaged');
    expect(text()).toBe(
      '{"level":"info","time":"2026-09-21T14:13:20.123Z","revocation":"rev_1","position":"1-2","count":3,"message":"revocation appended"}\n' +
        '{"level":"warn","time":"2026-09-21T14:13:20.123Z","listener":"data","message":"listener is bare"}\n' +
        '{"level":"error","time":"2026-09-21T14:13:20.123Z","message":"journal is damaged"}\n',
    );
  });

  it('takes every field of the list', () => {
    const { log, lines, dropped } = capture();
    log.info('all', Object.fromEntries(LOG_FIELDS.map((name) => [name, 'v'])));
    expect(Object.keys(lines()[0] ?? {}).sort()).toEqual([...LOG_FIELDS, 'level', 'time', 'message'].sort());
    expect(dropped.fields).toBe(0);
  });

  it('shows the machine its own time unless it is given another', () => {
    let text = '';
    const { log } = openLog({
      sink: (chunk, done) => {
        text += Buffer.from(chunk).toString();
        done();
      },
    });
    log.info('now');
    const { time } = JSON.parse(text) as { time: string };
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(5_000);
  });
});

describe('what must not get out', () => {
  it('is dropped and counted: a field that is not on the list, a value that is no text, number or truth', () => {
    const { log, lines, dropped } = capture();
    log.info(
      'request',
      asFields({ authorization: 'Bearer canary', token: 'canary', err: new Error('canary') }),
    );
    log.info(
      'request',
      asFields({ detail: { token: 'canary' }, code: ['canary'], count: 1n, state: undefined, kind: null }),
    );
    log.info(
      'request',
      asFields({ level: 'canary', time: 'canary', message: 'canary', msg: 'canary', pid: 1 }),
    );
    expect(lines()).toEqual(
      Array(3).fill({ level: 'info', time: '2026-09-21T14:13:20.123Z', message: 'request' }),
    );
    expect(dropped.fields).toBe(13);
  });

  it('is nothing but the fields of the list, whatever is given', () => {
    const { log, lines } = capture();
    const name = fc.oneof(
      fc.constantFrom<string>(...LOG_FIELDS),
      fc.string(),
      fc.constantFrom('toJSON', '__proto__'),
    );
    fc.assert(
      fc.property(fc.dictionary(name, fc.anything({ withBigInt: true })), (fields) => {
        log.info('any', asFields(fields));
        const { level, time, message, ...rest } = lines().at(-1) ?? {};
        expect([level, time, message]).toEqual(['info', '2026-09-21T14:13:20.123Z', 'any']);
        for (const key of Object.keys(rest)) expect(LOG_FIELDS).toContain(key);
      }),
      { numRuns: 50 },
    );
  });

  it('is more than 1 KiB of a text: it is cut between two characters', () => {
    const { log, lines } = capture();
    const cut = (detail: string) => {
      log.info('long', { detail });
      return String(lines().at(-1)?.detail);
    };
    expect(cut('a'.repeat(1_024))).toHaveLength(1_024);
    expect(cut('a'.repeat(1_025))).toHaveLength(1_024);
    expect(cut('a'.repeat(10_000_000))).toHaveLength(1_024);
    expect(cut('é'.repeat(600))).toBe('é'.repeat(512));
    expect(cut(`a${'😀'.repeat(300)}`)).toBe(`a${'😀'.repeat(255)}`);
  });

  it('is a character that breaks a line or commands a terminal: it comes out escaped, and reads back as it was', () => {
    const { log, text, lines } = capture();
    const evil = '\r\n{"level":"error"}\u001b[2J\u0000\u007f\u009b31m\u2028\u2029\u202egpj\u2066"\\';
    log.info('evil', { detail: evil });
    expect(text().split('\n')).toHaveLength(2);
    expect(text().slice(0, -1)).toMatch(/^[\x20-\x7e]+$/);
    expect(lines()[0]?.detail).toBe(evil);
  });

  it('reads back as it was, whatever the text', () => {
    const { log, lines } = capture();
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (reason) => {
        log.info('any', { reason });
        expect(lines().at(-1)?.reason).toBe(reason);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a sink that is stuck', () => {
  it('holds up no call, costs a bounded amount of memory, and the lines that were dropped are counted', () => {
    // A stream that never drains: its write is never called back.
    const stuck = new Writable({ write: () => undefined });
    const { log, dropped } = openLog({ sink: streamSink(stuck), pendingBytesMax: 64 * 1024 });
    const detail = 'x'.repeat(1_000);
    const heapBefore = process.memoryUsage().heapUsed;
    const startedAt = performance.now();
    for (let i = 0; i < 50_000; i++) log.info('decision', { detail });
    const perCallMs = (performance.now() - startedAt) / 50_000;
    expect(perCallMs).toBeLessThan(1);
    expect(dropped.lines).toBeGreaterThan(49_900);
    expect(stuck.writableLength).toBeLessThan(64 * 1024);
    // 50 MB were logged; what garbage is left of it is for the collector, the queue itself is 64 KiB.
    globalThis.gc?.();
    expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(200 * 1024 * 1024);
  });

  it('does not hold up closing for longer than the grace period', async () => {
    const { log, close } = openLog({ sink: () => undefined });
    log.info('last words');
    const startedAt = performance.now();
    await close(10);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('that comes back is told how many lines it missed', () => {
    const chunks: string[] = [];
    const waiting: (() => void)[] = [];
    const { log, dropped } = openLog({
      sink: (chunk, done) => {
        chunks.push(Buffer.from(chunk).toString());
        waiting.push(done);
      },
      pendingBytesMax: 200,
    });
    for (let i = 0; i < 10; i++) log.info('decision', { detail: 'x'.repeat(50) });
    while (waiting.length > 0) waiting.shift()?.();
    expect(JSON.parse(chunks.at(-1) ?? '')).toMatchObject({
      level: 'warn',
      count: dropped.lines,
      message: 'log lines were dropped',
    });
    expect(dropped.lines).toBeGreaterThan(0);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedWriter } from '../../../src/edges/telemetry/bounded-writer.ts';

/** A sink that answers each write when it is told to. */
class HandSink {
  readonly chunks: string[] = [];
  readonly #waiting: ((error?: Error | null) => void)[] = [];

  write = (chunk: Uint8Array, done: (error?: Error | null) => void): void => {
    this.chunks.push(Buffer.from(chunk).toString());
    this.#waiting.push(done);
  };

  answer(error?: Error): void {
    this.#waiting.shift()?.(error);
  }

  get inFlight(): number {
    return this.#waiting.length;
  }
}

function setUp(pendingBytesMax = 100) {
  const sink = new HandSink();
  const recovered: number[] = [];
  const writer = new BoundedWriter(sink.write, {
    pendingBytesMax,
    onRecovered: (lines) => recovered.push(lines),
  });
  return { sink, recovered, writer };
}

describe('BoundedWriter', () => {
  it('writes lines in their order, many at once while the sink is busy, one chunk on its way at a time', () => {
    const { sink, writer } = setUp();
    for (const line of ['a\n', 'b\n', 'c\n']) writer.write(line);
    expect(sink.chunks).toEqual(['a\n']);
    sink.answer();
    expect(sink.chunks).toEqual(['a\n', 'b\nc\n']);
    expect(sink.inFlight).toBe(1);
    sink.answer();
    expect(writer.pendingBytes).toBe(0);
  });

  it('drops and counts what does not fit while the sink is stuck, and never holds more than its limit', () => {
    const { sink, writer } = setUp(100);
    for (let i = 0; i < 100_000; i++) writer.write('0123456789\n');
    expect(writer.pendingBytes).toBe(99);
    expect(writer.droppedLines).toBe(100_000 - 9);
    expect(sink.chunks).toEqual(['0123456789\n']);
  });

  it('counts bytes, not characters', () => {
    const { writer } = setUp(4);
    writer.write('é\n');
    expect(writer.pendingBytes).toBe(3);
    writer.write('é\n');
    expect(writer.droppedLines).toBe(1);
  });

  it('tells how many lines were dropped once the sink has taken all that waited, and only once', () => {
    const { sink, recovered, writer } = setUp(6);
    for (let i = 0; i < 5; i++) writer.write('ab\n');
    sink.answer();
    expect(recovered).toEqual([]);
    sink.answer();
    expect(recovered).toEqual([3]);
    writer.write('ab\n');
    sink.answer();
    expect(recovered).toEqual([3]);
    expect(writer.droppedLines).toBe(3);
  });

  it('counts as dropped what the sink failed to write, starts afresh on a new line, and tells later', () => {
    const { sink, recovered, writer } = setUp();
    writer.write('a\n');
    writer.write('b\n');
    sink.answer(new Error('ENOSPC'));
    expect(writer.droppedLines).toBe(1);
    expect(sink.chunks).toEqual(['a\n', '\nb\n']);
    sink.answer();
    expect(recovered).toEqual([1]);
    writer.write('c\n');
    expect(sink.chunks.at(-1)).toBe('c\n');
  });

  it('goes on after the last write failed, with nothing pending', () => {
    const { sink, recovered, writer } = setUp();
    writer.write('a\n');
    sink.answer(new Error('EPIPE'));
    expect(writer.pendingBytes).toBe(0);
    expect(recovered).toEqual([]);
  });

  it('drains when all is written, at once when nothing waits, and after the grace period when the sink is stuck', async () => {
    const { sink, writer } = setUp();
    await writer.drain(60_000);
    writer.write('a\n');
    const drained = Promise.all([writer.drain(60_000), writer.drain(60_000)]);
    sink.answer();
    await drained;
    writer.write('b\n');
    await writer.drain(5);
    expect(writer.pendingBytes).toBe(2);
    sink.answer();
  });

  it('writes or counts every line, whatever the sink does', () => {
    const step = fc.oneof(
      fc.record({ line: fc.constantFrom('a\n', 'bb\n', 'cccccccc\n', 'é\n') }),
      fc.record({ isError: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { sink, writer } = setUp(20);
        let given = 0;
        let lost = 0;
        for (const each of steps) {
          if ('line' in each) {
            given++;
            writer.write(each.line);
          } else {
            const inFlight = sink.inFlight > 0 ? (sink.chunks.at(-1) ?? '') : '';
            if (each.isError) lost += inFlight.split('\n').filter(Boolean).length;
            sink.answer(each.isError ? new Error('lost') : undefined);
          }
          expect(writer.pendingBytes).toBeLessThanOrEqual(20);
          expect(sink.inFlight).toBeLessThanOrEqual(1);
        }
        while (sink.inFlight > 0) sink.answer();
        const written = sink.chunks.join('').split('\n').filter(Boolean).length - lost;
        expect(written + writer.droppedLines).toBe(given);
        expect(writer.pendingBytes).toBe(0);
      }),
    );
  });
});

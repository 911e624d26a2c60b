/** That what is long keeps nobody waiting for longer than one piece of it. */
import { describe, expect, it } from 'vitest';
import { Turns } from '../../src/kernel/turns.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What has happened by the end of each of the next turns. */
async function turnsOf(steps: readonly string[], count: number): Promise<readonly string[]> {
  const after: string[] = [];
  for (let i = 0; i < count; i++) {
    await nextTurn();
    after.push(steps.join(''));
  }
  return after;
}

describe('a turn of the loop', () => {
  it('has one piece of what is long, or what is urgent: every other turn while both wait', async () => {
    const turns = new Turns();
    const steps: string[] = [];
    for (const name of ['a', 'b', 'c']) void turns.next().then(() => steps.push(name));
    for (const name of ['x', 'y'])
      void turns.next('urgent').then(() => {
        steps.push(name);
        void turns.next('urgent').then(() => steps.push(name.toUpperCase()));
      });
    const expected = ['xy', 'xya', 'xyaXY', 'xyaXYb', 'xyaXYbc'];
    expect(await turnsOf(steps, 5)).toEqual(expected);
  });

  it('is left to what is urgent while nobody else waits', async () => {
    const turns = new Turns();
    const steps: string[] = [];
    const again = async (): Promise<void> => {
      for (const name of ['x', 'y', 'z']) {
        await turns.next('urgent');
        steps.push(name);
      }
    };
    void again();
    expect(await turnsOf(steps, 3)).toEqual(['x', 'xy', 'xyz']);
  });

  it('answers what has arrived before anything long goes on, though that has waited for longer', async () => {
    const turns = new Turns();
    const steps: string[] = [];
    void turns.next('urgent').then(() => steps.push('x'));
    void turns.next().then(() => steps.push('a'));
    turns.answer(() => steps.push('1'));
    turns.answer(() => {
      steps.push('2');
      turns.answer(() => steps.push('3'));
    });
    expect(await turnsOf(steps, 2)).toEqual(['12x', '12x3a']);
  });
});

describe('what is long and for nobody who asks', () => {
  it('has every other piece, however many ask at length', async () => {
    const turns = new Turns();
    const steps: string[] = [];
    for (const name of ['1', '2', '3', '4']) void turns.next('asked').then(() => steps.push(name));
    for (const name of ['a', 'b']) void turns.next().then(() => steps.push(name));
    expect(await turnsOf(steps, 6)).toEqual(['a', 'a1', 'a1b', 'a1b2', 'a1b23', 'a1b234']);
  });

  it('waits for a millisecond before each piece, if it is patient, for as long as something is answered', async () => {
    const turns = new Turns();
    const untilAll = async (): Promise<number> => {
      let passed = 0;
      const pieces = Array.from({ length: 8 }, () => turns.next('patient'));
      void Promise.all(pieces).then(() => (passed = -passed));
      while (passed >= 0) {
        passed += 1;
        await nextTurn();
      }
      return -passed;
    };
    expect(await untilAll()).toBeLessThan(12);
    let isOver = false;
    const answering = (async () => {
      while (!isOver) {
        turns.answer(() => undefined);
        await nextTurn();
      }
    })();
    await nextTurn();
    const beganMs = performance.now();
    await untilAll();
    // A timer of a millisecond may be early by most of one.
    expect(performance.now() - beganMs).toBeGreaterThan(2);
    isOver = true;
    await answering;
    // It was not answered for longer than that is remembered.
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await untilAll()).toBeLessThan(12);
  });
});

describe('who streams what is long', () => {
  it('waits, from the second answer on, until those who ask have had the loop for a while, one after the other', async () => {
    const turns = new Turns();
    const left: string[] = [];
    const three = (): Promise<unknown> =>
      Promise.all(['a', 'b', 'c'].map((name) => turns.breathe().then(() => left.push(name))));
    let isOver = false;
    turns.answer(() => undefined);
    const answering = (async () => {
      while (!isOver) {
        turns.answer(() => undefined);
        await nextTurn();
      }
    })();
    await nextTurn();
    const first = three();
    await nextTurn();
    expect(left).toEqual(['a']);
    const beganMs = performance.now();
    await first;
    expect(left).toEqual(['a', 'b', 'c']);
    // A timer of a millisecond may be early by most of one.
    expect(performance.now() - beganMs).toBeGreaterThan(20);
    // Of very many all but a few leave with one breath: whoever orders once beside them waits for no more than those.
    const many = Array.from({ length: 1_000 }, () => turns.breathe());
    expect(new Set(many).size).toBeGreaterThan(2);
    expect(new Set(many).size).toBeLessThan(10);
    isOver = true;
    await answering;
    await new Promise((resolve) => setTimeout(resolve, 60));
    await Promise.all(many);
    // While nobody asks nobody waits, and what is said here is said before anything else happens.
    void three();
    await nextTurn();
    expect(left).toHaveLength(6);
  });
});

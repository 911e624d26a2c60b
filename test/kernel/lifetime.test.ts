import { describe, expect, it } from 'vitest';
import { Lifetime } from '../../src/kernel/lifetime.ts';

describe('Lifetime', () => {
  it('closes in reverse order, each only when the one before it is closed', async () => {
    const events: string[] = [];
    const lifetime = new Lifetime();
    const slowly = (name: string) => async () => {
      events.push(`${name} closing`);
      await new Promise(setImmediate);
      events.push(`${name} closed`);
    };
    lifetime.own('first', slowly('first'));
    lifetime.own('second', () => {
      events.push('second closed');
    });
    lifetime.own('third', slowly('third'));
    await lifetime.close(1_000);
    expect(events).toEqual([
      'third closing',
      'third closed',
      'second closed',
      'first closing',
      'first closed',
    ]);
  });

  it('closes once, however often it is asked, and everyone gets the same outcome', async () => {
    let closed = 0;
    const lifetime = new Lifetime();
    lifetime.own('store', () => {
      closed++;
      throw new Error('secret');
    });
    const outcomes = await Promise.allSettled([lifetime.close(1_000), lifetime.close(1)]);
    expect(closed).toBe(1);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('closes the rest when one fails, then names all that failed and quotes nothing of their errors', async () => {
    const events: string[] = [];
    const lifetime = new Lifetime();
    lifetime.own('first', () => {
      events.push('first');
    });
    lifetime.own('second', () => Promise.reject(new Error('secret')));
    lifetime.own('third', () => {
      throw new Error('secret');
    });
    await expect(lifetime.close(1_000)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'not closed: third (failed), second (failed)',
    });
    expect(events).toEqual(['first']);
  });

  it('does not wait longer than the grace period: it starts the rest and names who overran', async () => {
    const events: string[] = [];
    const lifetime = new Lifetime();
    lifetime.own('first', () => {
      events.push('first started');
    });
    lifetime.own('stuck', () => new Promise<void>(() => undefined));
    const startedAt = performance.now();
    await expect(lifetime.close(20)).rejects.toThrow(/^not closed: stuck \(overrun\), first/);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(events).toEqual(['first started']);
  });

  it('closes nothing without complaint', async () => {
    await expect(new Lifetime().close(0)).resolves.toBeUndefined();
  });
});

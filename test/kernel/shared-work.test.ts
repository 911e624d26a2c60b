import { describe, expect, it } from 'vitest';
import { SharedWork } from '../../src/kernel/shared-work.ts';

describe('shared work', () => {
  function make() {
    const begun: PromiseWithResolvers<void>[] = [];
    const shared = new SharedWork(() => {
      const run = Promise.withResolvers<void>();
      begun.push(run);
      return run.promise;
    });
    return { shared, begun };
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('is done once for all who ask while it is under way, and begins after they asked', async () => {
    const { shared, begun } = make();
    const first = shared.run();
    await turn();
    const ended: string[] = [];
    const later = ['a', 'b'].map((name) => shared.run().then(() => ended.push(name)));
    await turn();
    expect(begun).toHaveLength(1);
    begun[0]?.resolve();
    await first;
    await turn();
    expect(ended).toEqual([]);
    expect(begun).toHaveLength(2);
    begun[1]?.resolve();
    await Promise.all(later);
    expect(ended).toEqual(['a', 'b']);
  });

  it('fails for those who asked for that run, and is done again for the next', async () => {
    const { shared, begun } = make();
    const failing = shared.run();
    await turn();
    const next = shared.run();
    begun[0]?.reject(new Error('broken'));
    await expect(failing).rejects.toThrow('broken');
    await turn();
    begun[1]?.resolve();
    await next;
  });
});

/** Found by attack: what a fleet had lost was in force, and in no list, for who was told to order it anew. */
import { expect, it } from 'vitest';
import { ORIGIN } from '../../src/feed/position.ts';
import { Inspection } from '../../src/http/inspection.ts';
import { enforce, startPair } from '../support/memory-fleet.ts';

it('revocations that were lost come before all others in their list, however short a page is, and once', async () => {
  const { a } = await startPair({ exclusive: false });
  const listed = (query: Record<string, string>): string[] => {
    const { body } = new Inspection(a).revocations(new Map(Object.entries(query)));
    return (body as { revocations: { position: string }[] }).revocations.map(({ position }) => position);
  };
  for (const id of ['j1', 'j2']) await enforce(a, id);
  a.view.displace(ORIGIN);
  for (const id of ['j3', 'j4']) await enforce(a, id);
  const first = listed({ limit: '1' });
  expect(first).toEqual(['0-0', '0-0', expect.stringMatching(/^1800000000-/)]);
  const next = listed({ limit: '1', after: first.at(-1) as string });
  expect(next).toHaveLength(1);
  expect(listed({ limit: '1', after: next[0] as string })).toEqual([]);
  expect(listed({ after: '0-0' })).toEqual([first.at(-1), ...next]);
});

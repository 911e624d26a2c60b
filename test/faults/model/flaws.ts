/** Wordings of the protocol that are known to be wrong, and from where the model finds in which history. */
import type { Bounds, Flaw } from './protocol.ts';

/** A lease of one tick, two replicas. */
const SMALL: Bounds = { lease: 1, replicas: 2, joined: 2, losses: 0, crashes: 0 };
const LOSING: Bounds = { ...SMALL, losses: 1 };

const CLOSED = ['forget all but A01', 'renew 1', 'arrive 1 closed'];
const LEASED_0 = ['renew 0', 'arrive 0 lease'];
const REOPENED_BY_0 = [
  'renew 0',
  'arrive 0 closed',
  'ask-to-open 0',
  'arrive 0 open',
  ...LEASED_0,
  'append',
  'tick',
];

export const FLAWS: Readonly<Record<Flaw, Bounds>> = {
  // THREATS 10.1
  'any-reading-judges': SMALL,
  // THREATS 10.2
  'no-last-reading': { ...LOSING, begin: ['append', ...LEASED_0] },
  // THREATS 10.3
  'quiet-from-sending': SMALL,
  // THREATS 10.4
  'answers-before-its-own-disk': SMALL,
  // THREATS 10.6: 0 is the newcomer, and nobody has heard of it
  'first-lease-at-once': {
    ...LOSING,
    joined: 1,
    begin: ['renew 0', 'arrive 0 lease', 'join 0', ...LEASED_0, 'append', 'tick'],
  },
  // THREATS 10.10
  'opens-on-less': { ...LOSING, begin: ['append', 'tick', ...LEASED_0, 'judge', 'last-reading'] },
  // THREATS 10.12
  'epoch-of-another-run': LOSING,
  'lease-from-the-answer': SMALL,
  'leased-before-applied': SMALL,
  'witness-for-good': { ...SMALL, losses: 2, begin: [...CLOSED, ...REOPENED_BY_0] },
  'opens-in-any-run': { ...SMALL, losses: 2, begin: [...CLOSED, 'ask-to-open 1', ...REOPENED_BY_0] },
};

/** What the protocol as it is must come through, every state of it. */
export const SOUND: Readonly<Record<string, Bounds>> = {
  'two replicas': SMALL,
  'a newcomer': { ...SMALL, joined: 1 },
};

/** Minutes, and a gigabyte: by hand. */
export const SOUND_AND_LARGE: Readonly<Record<string, Bounds>> = {
  'two replicas, lease of two ticks': { ...SMALL, lease: 2 },
  'a process that dies': { ...SMALL, crashes: 1 },
  'a store that forgets': LOSING,
  'a newcomer, and a store that forgets': { ...LOSING, joined: 1 },
};

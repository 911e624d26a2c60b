/**
 * The contract of the FeedStore port. It runs on every adapter: what is written here is what flows may rely on, and
 * functions.lua has to pass it too. A test that only one adapter could pass does not belong here.
 */
import { afterEach, beforeEach, describe } from 'vitest';
import { describeAdmission } from './feed-store/admission.ts';
import { describeAppends } from './feed-store/appends.ts';
import { describeClones } from './feed-store/clones.ts';
import { describeEpochs } from './feed-store/epochs.ts';
import { describeGrowth } from './feed-store/growth.ts';
import { describeForgets } from './feed-store/forgets.ts';
import { describeReadings } from './feed-store/readings.ts';
import { describeRenewals } from './feed-store/renewals.ts';
import { describeRestores } from './feed-store/restores.ts';
import { describeRestart } from './feed-store/restart.ts';
import type { Harness } from './store-under-test.ts';
import { StoreUnderTest } from './store-under-test.ts';

/** Runs the whole port against what `makeHarness` opens: a new, empty store each time. */
export function feedStoreContract(name: string, makeHarness: () => Promise<Harness>): void {
  describe(`${name} as a feed store`, () => {
    let harness: Harness;

    beforeEach(async () => {
      harness = await makeHarness();
    });

    afterEach(() => harness.close());

    const under = new StoreUnderTest(() => harness);
    describeEpochs(under);
    describeAppends(under);
    describeRenewals(under);
    describeClones(under);
    describeAdmission(under);
    describeForgets(under);
    describeReadings(under);
    describeRestart(under);
    describeRestores(under);
    describeGrowth(under);
  });
}

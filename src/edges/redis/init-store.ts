/** `writ store init`: puts the functions into a Redis that is fit for them, as a user who may. Called by main.ts. */
import type { StoreConfig } from '../../config/config.ts';
import { Connection } from './connection.ts';
import { CommandFailure, explain } from './failure.ts';
import type { LibraryState } from './functions.ts';
import { LIBRARY, ensureFunctions } from './functions.ts';
import { serverOf } from './server-address.ts';
import { readServer } from './server-facts.ts';

const CALL_MS = 5_000;

/**
 * What the server had before. CONFIG_INVALID for one that a sidecar would refuse, or for a user who may not;
 * APPEND_UNCERTAIN when it may have been loaded: doing it again does no harm.
 */
export async function initStore(
  store: Extract<StoreConfig, { kind: 'redis' }>,
): Promise<{ readonly library: string; readonly before: LibraryState }> {
  const connection = new Connection({ ...(await serverOf(store)), name: 'writ:init', callMs: CALL_MS });
  try {
    await connection.connect();
    await readServer(connection, store.failover);
    return { library: LIBRARY, before: await ensureFunctions(connection) };
  } catch (error) {
    throw error instanceof CommandFailure ? explain(error, 'APPEND_UNCERTAIN') : error;
  } finally {
    connection.close();
  }
}

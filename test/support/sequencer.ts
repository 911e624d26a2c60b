/**
 * In which order the files of a whole run are taken. Scenes mostly wait for processes and leases, the others mostly
 * compute: taken in turns they share the cores. What is longest by far begins first, so that nobody waits for it at the end.
 */
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

const isRemovals = ({ moduleId }: TestSpecification): boolean => moduleId.includes('/test/removals/');
const isScene = ({ moduleId }: TestSpecification): boolean => moduleId.includes('/test/scenes/');

export class TakingTurns extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const longFirst = await super.sort(files);
    const slow = [...longFirst.filter(isRemovals), ...longFirst.filter(isScene)];
    const rest = longFirst.filter((file) => !slow.includes(file));
    if (slow.length === 0) return rest;
    const perTurn = Math.ceil(rest.length / slow.length);
    return slow.flatMap((file, turn) => [file, ...rest.slice(turn * perTurn, (turn + 1) * perTurn)]);
  }
}

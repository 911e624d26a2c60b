/** What every command is given. */
import type { ExitCode } from './exit.ts';
import type { Surroundings } from './server-options.ts';
import type { Terminal } from './terminal.ts';

export interface CliPorts {
  readonly terminal: Terminal;
  readonly around: Surroundings;
  /** Calls `say` when the process is told to end, before it ends, until what it returns is called. */
  readonly onInterrupt: (say: () => void) => () => void;
  /** Runs one command's body and keeps its exit code. */
  readonly run: (body: () => Promise<ExitCode>) => Promise<void>;
}

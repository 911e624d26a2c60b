/** `writ policy status | reload`: the policy of a running server. Exit 1 when the server refuses the bundle. */
import type { Command } from 'commander';
import { call, callOrUnknown, objectOf } from './client.ts';
import type { Endpoint, Reply } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, withServerOptions } from './server-options.ts';
import { explain, showObject } from './show.ts';

interface ReloadOptions extends ServerOptions {
  readonly allowOlder?: boolean;
}

/** Adds both to `writ policy`. */
export function addLivePolicy(policy: Command, ports: CliPorts): void {
  const status = policy.command('status').description('the policy that runs, and what was refused instead');
  withServerOptions(status).action((options: ServerOptions) =>
    ports.run(() => ask(ports, options, (endpoint) => callOrUnknown(endpoint, 'GET', '/v1/policy'))),
  );
  const reload = policy
    .command('reload')
    .description('have the server load what its source has now')
    .option('--allow-older', 'also when it is older than the one that ran last');
  withServerOptions(reload).action((options: ReloadOptions) => {
    const body = { allowOlder: options.allowOlder === true };
    return ports.run(() =>
      ask(ports, options, (endpoint) => call(endpoint, 'POST', '/v1/policy/reload', body)),
    );
  });
}

async function ask(
  ports: CliPorts,
  options: ServerOptions,
  request: (endpoint: Endpoint) => Promise<Reply>,
): Promise<ExitCode> {
  const reply = await request(await controlEndpoint(options, ports.around));
  if (reply.status !== 200) return explain(ports, reply);
  showObject(ports, options, objectOf(reply));
  return EXIT.done;
}

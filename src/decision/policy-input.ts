/** What a policy reads (API.md, "Policy input"). The raw credential is not part of it; verified claims are. */
import type { VerifiedCredential } from '../credential/credential.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import type { AccessRequest } from './request.ts';

/** `input` for the decision entrypoint. `nowS`: epoch seconds. `grants`: those in force then, as GrantTable has them. */
export function policyInput(
  request: AccessRequest,
  credential: VerifiedCredential | undefined,
  nowS: number,
  grants: readonly JsonObject[],
): JsonObject {
  return inputOf(request, credential === undefined ? undefined : credentialInput(credential), nowS, grants);
}

/** The same, where there is only what a policy sees of the credential: for sessions, which keep no more. */
export function inputOf(
  request: Omit<AccessRequest, 'credential'>,
  credential: JsonObject | undefined,
  nowS: number,
  grants: readonly JsonObject[],
): JsonObject {
  const { subject, action, resource, context } = request;
  return {
    subject: subject as unknown as Json,
    action: action as unknown as Json,
    resource: resource as unknown as Json,
    context,
    ...(credential === undefined ? {} : { credential }),
    grants,
    now: nowS,
  };
}

/** The verified credential as a policy sees it; made once, frozen, and kept with the credential. */
export function credentialInput(credential: VerifiedCredential): JsonObject {
  let input = inputs.get(credential);
  if (input === undefined) {
    const { kind, issuer, scheme, claims, actors, confirmation } = credential;
    input = Object.freeze({
      kind,
      issuer,
      scheme,
      claims,
      actors: actors.map((actor) => ({ issuer: actor.issuer, subject: actor.subject })),
      ...(confirmation === undefined ? {} : { confirmation }),
    });
    inputs.set(credential, input);
  }
  return input;
}

const inputs = new WeakMap<VerifiedCredential, JsonObject>();

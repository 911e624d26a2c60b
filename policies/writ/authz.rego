# The policy that ships with Writ. It denies; it allows what one of three things permits, in this order:
#
#   scope  `<resource type>:<action>` in the scopes of a verified credential
#   role   a role that data.bindings gives the subject, for an action on a type of resource
#   grant  an entitlement in input.grants: of the subject, or of the actor who acts for it now
#
# It reads the input by constant paths only: then `writ policy build` finds which part of a request matters, and
# Writ passes no more than that part.
package writ.authz

default decision := {"allow": false, "reason": "default"}

decision := {"allow": true, "reason": "scope"} if {
	permitted_by_scope
} else := {"allow": true, "reason": "role"} if {
	permitted_by_role
} else := {"allow": true, "reason": "grant"} if {
	permitted_by_grant
}

# Scopes: only a verified credential has claims. `scope` is RFC 8693's string, `scp` the other spelling in use.

permitted_by_scope if wanted_scope in split(input.credential.claims.scope, " ")

permitted_by_scope if wanted_scope in split(input.credential.claims.scp, " ")

permitted_by_scope if {
	is_array(input.credential.claims.scp)
	wanted_scope in input.credential.claims.scp
}

# A type with a colon could be read as another type and the beginning of an action: no scope fits it.
wanted_scope := concat(":", [input.resource.type, input.action.name]) if {
	not contains(input.resource.type, ":")
}

# Roles: data is {"roles": {<role>: [{"action", "resource_type"}]}, "bindings": {<subject id>: [<role>]}}.

permitted_by_role if {
	some role in data.bindings[input.subject.id]
	some permission in data.roles[role]
	permission.action == input.action.name
	permission.resource_type == input.resource.type
}

# Grants: {"subject": {"type"?, "id"}, "issuer"?, "action", "resource": {"type", "id"?}, "until"?}. A member that is
# there must fit, one that is not stands for any.

permitted_by_grant if {
	some grant in input.grants
	grant.action == input.action.name
	fits_resource(grant.resource)
	fits_holder(grant)
	is_in_force(grant)
}

fits_resource(resource) if {
	resource.type == input.resource.type
	not has(resource, "id")
}

fits_resource(resource) if {
	resource.type == input.resource.type
	resource.id == input.resource.id
}

fits_holder(grant) if {
	grant.subject.id == input.subject.id
	fits_subject_type(grant.subject)
	fits_issuer(grant)
}

# The current actor is the first of the `act` chain (RFC 8693, section 4.1). Nobody knows its type.
fits_holder(grant) if {
	actor := input.credential.actors[0]
	grant.subject.id == actor.subject
	not has(grant.subject, "type")
	fits_actor_issuer(grant, actor)
}

fits_subject_type(subject) if not has(subject, "type")

fits_subject_type(subject) if subject.type == input.subject.type

fits_issuer(grant) if not has(grant, "issuer")

# A subject that was only asserted has no issuer: no grant that names one fits it.
fits_issuer(grant) if grant.issuer == input.credential.issuer

fits_actor_issuer(grant, _) if not has(grant, "issuer")

# What a token says of its actor's issuer is that issuer's word only if it signed the token.
fits_actor_issuer(grant, actor) if {
	grant.issuer == actor.issuer
	actor.issuer == input.credential.issuer
}

is_in_force(grant) if not has(grant, "until")

# Numbers only: Rego orders any number before any string, so that an `until` of text would never come.
is_in_force(grant) if {
	is_number(input.now)
	is_number(grant.until)
	input.now < grant.until
}

has(value, member) if member in object.keys(value)

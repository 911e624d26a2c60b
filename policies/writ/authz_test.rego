package writ.authz_test

import data.writ.authz

denied := {"allow": false, "reason": "default"}

permitted_by(reason) := {"allow": true, "reason": reason}

request := {
	"subject": {"type": "service", "id": "billing"},
	"action": {"name": "read"},
	"resource": {"type": "invoice", "id": "42"},
	"context": {},
	"grants": [],
	"now": 1000,
}

with_claims(claims) := object.union(request, {"credential": {
	"kind": "jwt",
	"issuer": "https://idp.example",
	"scheme": "Bearer",
	"claims": claims,
	"actors": [],
}})

with_grants(grants) := object.union(request, {"grants": grants})

invoice_grant := {"subject": {"id": "billing"}, "action": "read", "resource": {"type": "invoice"}}

grant_with(members) := object.union(invoice_grant, members)

# Nothing permits

test_denies_without_anything if authz.decision == denied with input as request

test_denies_empty_input if authz.decision == denied with input as {}

test_denies_undefined_input if authz.decision == denied

test_denies_odd_input if {
	every odd in ["text", 1, null, true, [], {"subject": "billing", "credential": null, "grants": null}] {
		authz.decision == denied with input as odd
	}
}

# Scopes

test_scope_permits if {
	authz.decision == permitted_by("scope") with input as with_claims({"scope": "openid invoice:read"})
}

test_scp_string_permits if {
	authz.decision == permitted_by("scope") with input as with_claims({"scp": "openid invoice:read"})
}

test_scp_array_permits if {
	authz.decision == permitted_by("scope") with input as with_claims({"scp": ["openid", "invoice:read"]})
}

test_other_scopes_do_not if {
	every scope in [
		"", " ", ":", "invoice", "invoice:", ":read", "invoice:write", "invoices:read", "invoice:reader",
		"INVOICE:READ", "invoice:read:own", "xinvoice:read", "invoice:read,openid", "invoice:*", "*", "invoice\t:read",
	] {
		authz.decision == denied with input as with_claims({"scope": scope})
		authz.decision == denied with input as with_claims({"scp": scope})
		authz.decision == denied with input as with_claims({"scp": [scope]})
	}
}

test_scope_of_another_kind_does_not if {
	every odd in [null, 1, true, {"invoice:read": true}, [["invoice:read"]], [null, 1]] {
		authz.decision == denied with input as with_claims({"scope": odd, "scp": odd})
	}
}

test_scope_array_is_no_scope if {
	authz.decision == denied with input as with_claims({"scope": ["invoice:read"]})
}

test_asserted_subject_has_no_scopes if {
	every member in ["scope", "scp", "claims", "credential"] {
		asserted := object.union(request, {"subject": {
			"type": "service",
			"id": "billing",
			"scope": "invoice:read",
			"properties": {member: "invoice:read", "claims": {"scope": "invoice:read"}},
		}})
		authz.decision == denied with input as asserted
		authz.decision == denied with input as object.union(request, {member: "invoice:read"})
		authz.decision == denied with input as object.union(request, {"context": {member: {"scope": "invoice:read"}}})
	}
}

test_type_with_colon_takes_no_part_of_a_scope if {
	other := object.union(with_claims({"scope": "invoice:42:read"}), {"resource": {"type": "invoice:42", "id": "1"}})
	authz.decision == denied with input as other
}

test_space_in_a_name_fits_no_two_scopes if {
	other := object.union(with_claims({"scope": "a b:read"}), {"resource": {"type": "a b", "id": "1"}})
	authz.decision == denied with input as other
}

# Roles

roles := {"invoice-reader": [{"action": "read", "resource_type": "invoice"}]}

test_role_permits if {
	authz.decision == permitted_by("role") with input as request
		with data.roles as roles
		with data.bindings as {"billing": ["other", "invoice-reader"]}
}

test_role_of_another_does_not if {
	authz.decision == denied with input as request
		with data.roles as roles
		with data.bindings as {"Billing": ["invoice-reader"], "reporting": ["invoice-reader"]}
}

test_role_for_another_action_or_type_does_not if {
	every permission in [
		{"action": "write", "resource_type": "invoice"},
		{"action": "read", "resource_type": "ledger"},
		{"action": "read"},
		{"resource_type": "invoice"},
		{},
	] {
		authz.decision == denied with input as request
			with data.roles as {"invoice-reader": [permission]}
			with data.bindings as {"billing": ["invoice-reader"]}
	}
}

test_unknown_role_does_not if {
	authz.decision == denied with input as request
		with data.roles as roles
		with data.bindings as {"billing": ["admin"]}
}

test_shipped_data_binds_nobody if data.bindings == {}

test_shipped_roles_work if {
	authz.decision == permitted_by("role") with input as request with data.bindings as {"billing": ["invoice-clerk"]}
}

# Grants

test_grant_permits if authz.decision == permitted_by("grant") with input as with_grants([{}, invoice_grant])

test_grant_for_this_resource_permits if {
	grants := [grant_with({"resource": {"type": "invoice", "id": "42"}, "until": 1001})]
	authz.decision == permitted_by("grant") with input as with_grants(grants)
}

test_grant_for_something_else_does_not if {
	every members in [
		{"subject": {"id": "reporting"}},
		{"subject": {"id": "billing", "type": "user"}},
		{"action": "write"},
		{"resource": {"type": "ledger"}},
		{"resource": {"type": "invoice", "id": "43"}},
		{"resource": {"type": "invoice", "id": null}},
		{"issuer": "https://idp.example"},
		{"issuer": null},
	] {
		authz.decision == denied with input as with_grants([grant_with(members)])
	}
}

test_grant_ends if {
	every until in [0, 999, 1000, "3000-01-01T00:00:00Z", null, false, {}, []] {
		authz.decision == denied with input as with_grants([grant_with({"until": until})])
	}
}

test_grant_with_an_end_needs_a_clock if {
	timeless := object.remove(with_grants([grant_with({"until": 1001})]), ["now"])
	authz.decision == denied with input as timeless
	authz.decision == denied with input as object.union(timeless, {"now": null})
}

test_grant_names_its_issuer if {
	own := object.union(with_claims({}), {"grants": [grant_with({"issuer": "https://idp.example"})]})
	other := object.union(with_claims({}), {"grants": [grant_with({"issuer": "https://other.example"})]})
	any_issuer := object.union(with_claims({}), {"grants": [invoice_grant]})
	authz.decision == permitted_by("grant") with input as own
	authz.decision == permitted_by("grant") with input as any_issuer
	authz.decision == denied with input as other
}

test_grant_names_the_subject_type if {
	grants := [grant_with({"subject": {"id": "billing", "type": "service"}})]
	authz.decision == permitted_by("grant") with input as with_grants(grants)
}

acted(actors, members) := object.union(with_claims({}), {
	"subject": {"type": "user", "id": "alice"},
	"credential": {"actors": actors},
	"grants": [grant_with(members)],
})

billing := {"issuer": "https://agents.example", "subject": "billing"}

test_grant_of_the_current_actor_permits if {
	authz.decision == permitted_by("grant") with input as acted([billing], {})
	own := {"issuer": "https://idp.example", "subject": "billing"}
	authz.decision == permitted_by("grant") with input as acted([own], {"issuer": "https://idp.example"})
}

test_grant_of_another_issuers_actor_does_not if {
	authz.decision == denied with input as acted([billing], {"issuer": "https://agents.example"})
}

test_grant_of_another_actor_does_not if {
	former := {"issuer": "https://agents.example", "subject": "planner"}
	authz.decision == denied with input as acted([former, billing], {})
	authz.decision == denied with input as acted([], {})
	authz.decision == denied with input as acted([billing], {"issuer": "https://idp.example"})
	authz.decision == denied with input as acted([billing], {"subject": {"id": "billing", "type": "service"}})
}

# Order

test_the_first_reason_is_named if {
	everything := object.union(with_claims({"scope": "invoice:read"}), {"grants": [invoice_grant]})
	authz.decision == permitted_by("scope") with input as everything
		with data.bindings as {"billing": ["invoice-reader"]}
	authz.decision == permitted_by("role") with input as with_grants([invoice_grant])
		with data.bindings as {"billing": ["invoice-reader"]}
}

# Two OAuth clients, each with a role of its own that allows just what its caller does. Genesys lets nobody give a role
# that he does not have: the roles are made first and given to Terraform's own client by hand (docs/genesys.md).

# The stack: it looks for the customer in the conversation and writes attributes, which needs no permission of its own.
resource "genesyscloud_auth_role" "stack" {
  name        = "${var.name} stack"
  description = "Reads a conversation to tell it how its payment stands."

  permission_policies {
    domain      = "conversation"
    entity_name = "communication"
    action_set  = ["view"]
  }

  dynamic "permission_policies" {
    for_each = var.starts_late_payment_workflow ? [true] : []

    content {
      domain      = "architect"
      entity_name = "flow"
      action_set  = ["launch"]
    }
  }
}

# The Data Action that sends the payment link by SMS.
resource "genesyscloud_auth_role" "messages" {
  name        = "${var.name} Messages"
  description = "Sends agentless messages."

  permission_policies {
    domain      = "conversation"
    entity_name = "message"
    action_set  = ["create"]
  }
}

resource "genesyscloud_oauth_client" "stack" {
  name                          = "${var.name} stack"
  description                   = "Of the functions that tell a conversation how its payment stands."
  authorized_grant_type         = "CLIENT-CREDENTIALS"
  access_token_validity_seconds = 86400
  expose_client_secret          = true # for the output genesys_secret; Genesys shows a secret once

  dynamic "roles" {
    for_each = length(var.division_ids) == 0 ? [null] : tolist(var.division_ids)

    content {
      role_id     = genesyscloud_auth_role.stack.id
      division_id = roles.value
    }
  }
}

resource "genesyscloud_oauth_client" "messages" {
  name                          = "${var.name} Messages"
  description                   = "Of the Data Action that sends payment links."
  authorized_grant_type         = "CLIENT-CREDENTIALS"
  access_token_validity_seconds = 86400
  expose_client_secret          = true # for the credential of the integration

  dynamic "roles" {
    for_each = length(var.division_ids) == 0 ? [null] : tolist(var.division_ids)

    content {
      role_id     = genesyscloud_auth_role.messages.id
      division_id = roles.value
    }
  }
}

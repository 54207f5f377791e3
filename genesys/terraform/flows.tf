locals {
  # The files of the AWS Lambda actions have other names, for both sets may be in one organization.
  suffix = var.transport == "aws-lambda" ? " (Lambda)" : ""

  # What stands in double braces in both flows.
  substitutions = {
    flow_name                 = var.name
    division                  = var.flow_division
    queue                     = var.queue
    payments_integration      = genesyscloud_integration.this[var.transport].config[0].name
    get_payment_status_action = "Get Payment Status${local.suffix}"
  }

  # A published flow holds the ids of its actions. With a new id it is published again.
  action_ids = sha256(jsonencode({ for path, action in genesyscloud_integration_action.this : path => action.id }))
}

resource "genesyscloud_flow" "call" {
  filepath            = "${path.module}/../flow/phone-payment.yaml"
  update_trigger_hash = local.action_ids

  substitutions = merge(local.substitutions, {
    create_payment_action = "Create Payment${local.suffix}"
    messages_integration  = genesyscloud_integration.this["genesys-cloud"].config[0].name
    sms_from_address      = var.sms_from_address
  })
}

resource "genesyscloud_flow" "secure_call" {
  count = var.voice_vault ? 1 : 0

  filepath            = "${path.module}/../flow/phone-payment-secure.yaml"
  update_trigger_hash = local.action_ids
  depends_on          = [genesyscloud_flow.call] # it hands the call back to that flow, by name

  substitutions = merge(local.substitutions, {
    secure_flow_name          = "${var.name} Secure"
    confirm_with_token_action = "Confirm With Token${local.suffix}"
  })
}

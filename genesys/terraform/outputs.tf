output "genesys_secret" {
  description = "The value of the stack's Genesys secret, to be piped into Secrets Manager."
  sensitive   = true
  value = jsonencode({
    client_id     = genesyscloud_oauth_client.stack.client_id
    client_secret = genesyscloud_oauth_client.stack.client_secret
  })
}

output "integration_ids" {
  description = "Id of each integration, by the folder of its Data Actions."
  value       = { for folder, integration in genesyscloud_integration.this : folder => integration.id }
}

output "action_ids" {
  description = "Id of each Data Action, by its name."
  value       = { for action in genesyscloud_integration_action.this : action.name => action.id }
}

output "flow_id" {
  description = "Id of the inbound call flow: route a number to it in Architect's call routing."
  value       = genesyscloud_flow.call.id
}

output "secure_flow_id" {
  description = "Id of the secure call flow, or null without voice_vault."
  value       = one(genesyscloud_flow.secure_call[*].id)
}

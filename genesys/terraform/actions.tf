# The Data Actions are read from the very files that are imported by hand, so that the two ways cannot differ. Their
# Velocity templates need no $${ here, for Terraform does not look into what file() and jsondecode() give.

locals {
  data_actions = "${path.module}/../data-actions"

  # One integration for each folder: of the two that carry payments the chosen one, and the one that sends messages.
  integrations = {
    for folder, integration in {
      web-services = {
        type        = "custom-rest-actions"
        name        = var.name
        credentials = { (var.web_services_credential_slot) = one(genesyscloud_integration_credential.api_key[*].id) }
      }
      aws-lambda = {
        type        = "aws-lambda-data-actions"
        name        = var.name
        credentials = { AmazonWebServicesARN = one(genesyscloud_integration_credential.invoke_role[*].id) }
      }
      genesys-cloud = {
        type        = "purecloud-data-actions"
        name        = "${var.name} Messages"
        credentials = { pureCloudOAuthClient = genesyscloud_integration_credential.messages.id }
      }
    } : folder => integration if contains([var.transport, "genesys-cloud"], folder)
  }

  actions = {
    for path in fileset(local.data_actions, "*/*.custom.json") :
    path => jsondecode(file("${local.data_actions}/${path}")) if contains(keys(local.integrations), dirname(path))
  }

  # The deployment's own addresses instead of the placeholders. An unset one belongs to the transport that is not used.
  urls = {
    for path, action in local.actions : path => replace(replace(replace(
      action.config.request.requestUrlTemplate,
      "https://API_ID.execute-api.REGION.amazonaws.com/v1", coalesce(var.api_url, "unset")),
      "arn:aws:lambda:REGION:ACCOUNT_ID:function:CREATE_INTENT_FUNCTION", coalesce(var.create_intent_function_arn, "unset")),
    "arn:aws:lambda:REGION:ACCOUNT_ID:function:STATUS_QUERY_FUNCTION", coalesce(var.status_query_function_arn, "unset"))
  }
}

resource "genesyscloud_integration_credential" "api_key" {
  count = var.transport == "web-services" ? 1 : 0

  name                 = "${var.name} API key"
  credential_type_name = "userDefined"
  fields               = { apiKey = var.api_key }
}

resource "genesyscloud_integration_credential" "invoke_role" {
  count = var.transport == "aws-lambda" ? 1 : 0

  name                 = "${var.name} invoke role"
  credential_type_name = "amazonWebServicesARN"
  fields               = { ARN = var.invoke_role_arn }
}

resource "genesyscloud_integration_credential" "messages" {
  name                 = "${var.name} Messages OAuth client"
  credential_type_name = "pureCloudOAuthClient"
  # Both fields outright: for a missing secret the provider takes that of the client it made last, whichever that was.
  fields = {
    clientId     = genesyscloud_oauth_client.messages.client_id
    clientSecret = genesyscloud_oauth_client.messages.client_secret
  }
}

resource "genesyscloud_integration" "this" {
  for_each = local.integrations

  integration_type = each.value.type
  intended_state   = "ENABLED" # the provider's default is DISABLED, and no flow finds the actions then

  config {
    name        = each.value.name
    notes       = "Made by Terraform. Changes by hand are undone."
    credentials = each.value.credentials
  }
}

# A change of a contract or of `secure` makes a new action under a new id. The flows are published again then.
resource "genesyscloud_integration_action" "this" {
  for_each = local.actions

  name                   = each.value.name
  category               = genesyscloud_integration.this[dirname(each.key)].config[0].name
  integration_id         = genesyscloud_integration.this[dirname(each.key)].id
  secure                 = each.value.secure
  config_timeout_seconds = each.value.config.timeoutSeconds
  contract_input         = jsonencode(each.value.contract.input.inputSchema)
  contract_output        = jsonencode(each.value.contract.output.successSchema)

  config_request {
    request_type         = each.value.config.request.requestType
    request_url_template = local.urls[each.key]
    request_template     = each.value.config.request.requestTemplate
    headers              = each.value.config.request.headers
  }

  config_response {
    translation_map          = each.value.config.response.translationMap
    translation_map_defaults = each.value.config.response.translationMapDefaults
    success_template         = each.value.config.response.successTemplate
  }
}

variable "name" {
  description = "Beginning of the name of everything that is made here. Two deployments in one organization need two names."
  type        = string
  default     = "Phone Payments"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$", var.name))
    error_message = "name wants 1 to 64 letters, digits, spaces, dots, underscores or dashes, the first a letter or digit."
  }

  # The provider takes such a category for another kind of integration.
  validation {
    condition     = !can(regex("function[ _-]data[ _-]action", lower(var.name)))
    error_message = "name must not contain \"function data action\"."
  }
}

# ---- how Genesys reaches the two functions ----------------------------------------------------------------------

variable "transport" {
  description = "How Genesys reaches the functions: web-services (API Gateway and an API key) or aws-lambda (an IAM role, no key)."
  type        = string
  default     = "web-services"

  validation {
    condition     = contains(["web-services", "aws-lambda"], var.transport)
    error_message = "transport wants web-services or aws-lambda."
  }
}

variable "api_url" {
  description = "web-services: the stack's output ApiUrl."
  type        = string
  default     = null

  validation {
    condition     = var.transport != "web-services" || can(regex("^https://[^/?#]+/[A-Za-z0-9_-]+$", var.api_url))
    error_message = "With transport web-services, api_url wants the stack's output ApiUrl: https, a stage, no slash at the end."
  }
}

variable "api_key" {
  description = "web-services: the API key that the stack's output ApiKeyId names. Give it as TF_VAR_api_key; it is kept in the state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.transport != "web-services" || try(length(var.api_key) >= 20, false)
    error_message = "With transport web-services, api_key wants the key itself, at least 20 characters; ApiKeyId is only its id."
  }
}

variable "web_services_credential_slot" {
  description = "web-services: the name under which the integration takes its credential. basicAuth for every credential type seen."
  type        = string
  default     = "basicAuth"
}

variable "invoke_role_arn" {
  description = "aws-lambda: the stack's output GenesysInvokeRoleArn."
  type        = string
  default     = null

  validation {
    condition     = var.transport != "aws-lambda" || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.invoke_role_arn))
    error_message = "With transport aws-lambda, invoke_role_arn wants the stack's output GenesysInvokeRoleArn."
  }
}

variable "create_intent_function_arn" {
  description = "aws-lambda: the stack's output CreateIntentFunctionArn."
  type        = string
  default     = null

  validation {
    condition     = var.transport != "aws-lambda" || can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:.+$", var.create_intent_function_arn))
    error_message = "With transport aws-lambda, create_intent_function_arn wants the stack's output CreateIntentFunctionArn."
  }
}

variable "status_query_function_arn" {
  description = "aws-lambda: the stack's output StatusQueryFunctionArn."
  type        = string
  default     = null

  validation {
    condition     = var.transport != "aws-lambda" || can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:.+$", var.status_query_function_arn))
    error_message = "With transport aws-lambda, status_query_function_arn wants the stack's output StatusQueryFunctionArn."
  }
}

# ---- what the stack and the messages may do in Genesys ----------------------------------------------------------

variable "division_ids" {
  description = "Divisions in which the two OAuth clients have their roles: those of your calls, or *. Empty: the home division."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.division_ids : can(regex("^([*]|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", id))])
    error_message = "division_ids wants ids of divisions (UUIDs in lower case), or * for all of them."
  }
}

variable "starts_late_payment_workflow" {
  description = "Whether the stack's parameter GenesysLatePaymentFlowId is set: its OAuth client may then launch flows."
  type        = bool
  default     = false
}

# ---- the flows --------------------------------------------------------------------------------------------------

variable "queue" {
  description = "Name of an existing queue, for callers who want to speak to somebody or whose payment cannot go on."
  type        = string

  # These names are put between the quotation marks of a YAML file.
  validation {
    condition     = can(regex("^[^\"\\\\{}[:cntrl:]]{1,200}$", var.queue))
    error_message = "queue wants the name of a queue, without quotation marks, backslashes and braces."
  }
}

variable "sms_from_address" {
  description = "SMS number of the organization that sends the payment link, in E.164, such as +15551234567."
  type        = string

  validation {
    condition     = can(regex("^[+][1-9][0-9]{6,14}$", var.sms_from_address))
    error_message = "sms_from_address wants a number in E.164: a plus sign and 7 to 15 digits, such as +15551234567."
  }
}

variable "flow_division" {
  description = "Name of the division that the flows belong to."
  type        = string
  default     = "Home"

  validation {
    condition     = can(regex("^[^\"\\\\{}[:cntrl:]]{1,200}$", var.flow_division))
    error_message = "flow_division wants the name of a division, without quotation marks, backslashes and braces."
  }
}

variable "voice_vault" {
  description = "Whether to publish the secure call flow too, which charges the token of a PCI-validated voice vault."
  type        = bool
  default     = false
}

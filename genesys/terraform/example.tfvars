# A deployment by API Gateway. Copy, fill in the outputs of your stack, and give the API key as TF_VAR_api_key.
transport = "web-services"
api_url   = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1"

# A deployment by AWS Lambda has these instead, and no key:
# transport                  = "aws-lambda"
# invoke_role_arn            = "arn:aws:iam::123456789012:role/phone-payments-GenesysInvokeRole-1A2B3C"
# create_intent_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:phone-payments-CreateIntentFunction-1A2B3C"
# status_query_function_arn  = "arn:aws:lambda:eu-central-1:123456789012:function:phone-payments-StatusQueryFunction-1A2B3C"

queue            = "Payments"
sms_from_address = "+15551234567"

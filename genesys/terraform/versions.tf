terraform {
  # 1.9: the validation of one variable may look at another.
  required_version = ">= 1.9"

  required_providers {
    genesyscloud = {
      source  = "mypurecloud/genesyscloud"
      version = ">= 1.84, < 2.0"
    }
  }
}

# The provider reads its OAuth client from the environment, so no configuration and no plan holds it:
# GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and GENESYSCLOUD_REGION (an AWS region, such as us-east-1).

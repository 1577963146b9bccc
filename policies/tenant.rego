# METADATA
# title: The caller's tenant
# description: What data.json says about the tenant of a call, laid over what it says about all.
package tidegate.tenant

settings := object.union(data.defaults, object.get(data.tenants, input.caller.tenant, {}))

// Calls a portal with the npm package soap. Arguments: address, user, password.
const soap = require('soap')

async function call (url, user, password) {
  const portal = await soap.createClientAsync(url + '?wsdl', {}, url)
  portal.setSecurity(new soap.BasicAuthSecurity(user, password))

  const [counts] = await portal.QueryResourcesAsync({ queryResourcesRequestUnused: 0 })
  console.log('counts', counts.totalRes_returned, counts.unusedSIP_returned,
    counts.unusedH323_returned)

  const vxml = { toURI: 'sip:1@127.0.0.1', applicationName: 'collections', connectTimeoutSecs: 30 }
  const [connected] = await portal.LaunchVXMLAsync(vxml)
  console.log('vxml', connected.sessionID_returned)

  const ccxml = { toURI: 'tel:2', applicationName: 'surveys', launchTimeout: 30 }
  const [launched] = await portal.LaunchCCXMLAsync(ccxml)
  console.log('ccxml', launched.sessionID_returned)

  try {
    await portal.LaunchVXMLAsync({ ...vxml, applicationName: 'Nowhere:collections' })
  } catch (error) {
    const detail = error.root.Envelope.Body.Fault.detail.LaunchVXMLFault
    console.log('fault', detail.returnCode, detail.description)
  }
}

call(...process.argv.slice(2)).catch(error => {
  console.error(error.message)
  process.exit(1)
})

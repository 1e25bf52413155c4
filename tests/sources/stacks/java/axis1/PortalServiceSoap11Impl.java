package com.avaya.vp.services;

/** A portal of 60 ports, behind what Axis 1.4 generates. An application "fault" is refused. */
public class PortalServiceSoap11Impl implements PortalServiceType {
    public QueryResourcesResponse queryResources(QueryResourcesRequest asked) {
        return new QueryResourcesResponse(60, 40, 20);
    }

    public LaunchVXMLResponse launchVXML(LaunchVXMLRequest asked) throws FaultType {
        refuse(asked.getApplicationName());
        return new LaunchVXMLResponse("vxml " + asked.getToURI(), 60, 39, 20);
    }

    public LaunchCCXMLResponse launchCCXML(LaunchCCXMLRequest asked) throws FaultType {
        refuse(asked.getApplicationName());
        return new LaunchCCXMLResponse("ccxml " + asked.getToURI(), 60, 39, 20);
    }

    public SendCCXMLEventResponse sendCCXMLEvent(SendCCXMLEventRequest asked) {
        return new SendCCXMLEventResponse();
    }

    public GetStatusResponse getStatus(GetStatusRequest asked) {
        return new GetStatusResponse();
    }

    private static void refuse(String application) throws FaultType {
        if (application.endsWith("fault")) {
            throw new FaultType(34606, "no port");
        }
    }
}

package com.avaya.vp.services;

/** A portal of 60 ports, in the zone West of 30, behind what Axis 2 generates (ADB). An application
 * "fault" is refused. */
public class PortalServiceSkeleton {
    public QueryResourcesResponse queryResources(QueryResourcesRequest asked) throws QueryResourcesFault {
        QueryResourcesResponse counts = new QueryResourcesResponse();
        boolean isWest = "West".equals(asked.getZone());
        counts.setTotalRes_returned(isWest ? 30 : 60);
        counts.setUnusedSIP_returned(isWest ? 10 : 40);
        counts.setUnusedH323_returned(20);
        return counts;
    }

    public LaunchVXMLResponse launchVXML(LaunchVXMLRequest asked) throws LaunchVXMLFault {
        if (asked.getApplicationName().endsWith("fault")) {
            axis2.apache.org.LaunchVXMLFault element = new axis2.apache.org.LaunchVXMLFault();
            FaultType detail = new FaultType();
            detail.setReturnCode(34606);
            detail.setDescription("no port");
            element.setLaunchVXMLFault(detail);
            LaunchVXMLFault fault = new LaunchVXMLFault("no port");
            fault.setFaultMessage(element);
            throw fault;
        }
        LaunchVXMLResponse answer = new LaunchVXMLResponse();
        answer.setSessionID_returned("vxml " + asked.getToURI());
        answer.setTotalRes_returned(60);
        answer.setUnusedSIP_returned(39);
        answer.setUnusedH323_returned(20);
        return answer;
    }

    public LaunchCCXMLResponse launchCCXML(LaunchCCXMLRequest asked) throws LaunchCCXMLFault {
        LaunchCCXMLResponse answer = new LaunchCCXMLResponse();
        answer.setSessionID_returned("ccxml " + asked.getToURI());
        answer.setTotalRes_returned(60);
        answer.setUnusedSIP_returned(39);
        answer.setUnusedH323_returned(20);
        return answer;
    }

    public SendCCXMLEventResponse sendCCXMLEvent(SendCCXMLEventRequest asked)
            throws SendCCXMLEventFault {
        return new SendCCXMLEventResponse();
    }

    public GetStatusResponse getStatus(GetStatusRequest asked) throws GetStatusFault {
        return new GetStatusResponse();
    }
}
